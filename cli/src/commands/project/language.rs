//! The languages that a project can be in.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;

/// A language with a template, and with steps that build it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// By Cargo; fused with the protocol
    Rust,
    /// By componentize-js
    #[value(name = "js", alias = "javascript")]
    JavaScript,
    /// By componentize-py
    Python,
    /// By zig, or by the clang of the WASI SDK
    C,
    /// By Go 1.24 or later
    Go,
}

impl Language {
    /// The language of the project in a folder, told by the file that is the app.
    pub(super) fn of(project: &Path) -> Option<Self> {
        let is_there = |language: &Self| project.join(language.mark()).exists();
        Self::value_variants().iter().copied().find(is_there)
    }

    /// The file by which a project is recognised.
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
