//! The tests of haechi as a whole: one binary, one link.

mod diagnostics;
