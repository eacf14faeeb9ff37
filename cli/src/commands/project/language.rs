//! Languages that a project can be in.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;

/// A language with a template and build steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Built by Cargo, with the protocol included
    Rust,
    /// Built by componentize-js
    #[value(name = "js", alias = "javascript")]
    JavaScript,
    /// Built by componentize-py
    Python,
    /// Built by zig, or by the clang of the WASI SDK
    C,
    /// Built by Go 1.24 or later
    Go,
}

impl Language {
    /// The language of the project in a folder, recognised by the app's file.
    pub(super) fn of(project: &Path) -> Option<Self> {
        let is_there = |language: &Self| project.join(language.mark()).exists();
        Self::value_variants().iter().copied().find(is_there)
    }

    /// The file by which a project of this language is recognised.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::JavaScript => "app.js",
            Self::Python => "app.py",
            Self::C => "app.c",
            Self::Go => "go.mod",
        }
    }

    /// The file to edit.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Go => "app.go",
            _ => self.mark(),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
            Self::Go => "Go",
        })
    }
}
