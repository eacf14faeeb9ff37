//! A start: the commands `new` and `build`.
//!
//! ```text
//!   new ──▶ template ──▶ a folder ──▶ build ──▶ the language's own tools ──▶ app.wasm ──▶ wasocket serve
//!                                        └──▶ tool: what is missing, and what installs it
//! ```

mod build;
mod componentize;
mod language;
mod new;
mod template;
mod tool;

pub use build::{BuildError, build};
pub use language::Language;
pub use new::{NewError, name, new};
pub use tool::Missing;
