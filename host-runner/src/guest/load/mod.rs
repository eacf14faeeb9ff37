//! Loads a component: reads, compiles, caches, and checks it.

pub mod cache;
pub mod component;
pub mod error;
pub mod precompiled;
pub mod world;
