//! WASI 0.2 for guests, as far as the operator grants it.

mod allowed;
mod directory;
mod grants;
pub(crate) mod http;
pub(crate) mod link;
pub(crate) mod memory;
mod open_files;
pub(crate) mod state;
pub(crate) mod throttle;

pub use allowed::{Allowed, AllowedError, Policy};
pub use directory::Directory;
pub use grants::Grants;
pub use open_files::OpenFiles;
