//! Loading of components: reading, compiling, caching, checking.

pub mod cache;
pub mod component;
pub mod error;
pub mod precompiled;
pub mod world;
