//! What a guest may touch of the outside: WASI 0.2, as far as the operator grants it.

pub mod allowed;
pub mod directory;
pub mod grants;
pub mod http;
pub mod link;
pub mod memory;
pub mod state;
