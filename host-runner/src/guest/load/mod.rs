//! Loading of components: reading, compiling, caching, checking.

pub mod cache;
pub mod component;
pub mod error;
pub(crate) mod machine_code;
pub mod precompiled;
pub mod whole_file;
pub mod world;
