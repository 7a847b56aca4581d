//! Files of a mounted volume.
