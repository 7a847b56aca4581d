//! What a route does.

pub mod redirect;
pub mod rewrite;
pub mod static_files;

mod template;

pub use template::TemplateFault;
