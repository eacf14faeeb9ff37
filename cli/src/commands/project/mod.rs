//! Projects: the commands `new`, `build` and `compose`.
//!
//! ```text
//!   new ──▶ template ──▶ a folder ──▶ build ──▶ the language's own tools ──▶ app.wasm ──▶ wasocket serve
//!                                        └──▶ tool: what is missing, and what installs it
//! ```

pub mod args;
mod build;
mod componentize;
mod compose;
mod language;
mod new;
mod package;
mod target;
mod template;
mod tool;

pub use build::{BuildError, build};
pub use compose::{ComposeFileError, compose};
pub use language::Language;
pub use new::{NewError, new};
pub use package::PackageError;
pub use target::Target;
pub use tool::Missing;

use std::io::{self, Write};
use std::path::Path;

/// Prints a line to stdout.
fn say(line: &str) {
    // A closed stdout is no reason to stop.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints the name and the size of a file that was written; not of a pipe, which may be stdout itself.
pub(crate) fn say_size(file: &Path, bytes: usize) {
    if !file.is_file() {
        return;
    }
    say(&format!("{}: {} kB", file.display(), bytes.div_ceil(1000)));
}
