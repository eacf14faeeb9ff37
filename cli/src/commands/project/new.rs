//! The command `new`: creates a folder with a small project.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::language::Language;
use super::template;
use crate::commands::project::args::New;

/// The repository that this program was built in, which contains the crate `wasocket`: it is not published.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Names that a crate must not have: keywords, and names with a meaning to Cargo or this project.
const TAKEN: [&str; 44] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self", "static", "struct",
    "super", "test", "trait", "try", "type", "use", "wasocket", "where", "while", "yield",
];

/// Creates a project and prints the next steps.
///
/// # Errors
///
/// See [`NewError`].
pub fn new(options: &New) -> Result<(), NewError> {
    let repository = match options.lang {
        Language::Rust => repository(options.wasocket.as_deref())?,
        _ => PathBuf::new(),
    };
    let name = name(&options.folder).map_err(NewError::Name)?;
    let folder = Path::new(&options.folder);
    fs::create_dir(folder).map_err(|error| NewError::Folder(folder.into(), error))?;
    for (path, contents) in template::files(options.lang, name, &repository) {
        let path = folder.join(path);
        if let Err(error) = write(&path, &contents) {
            // It was empty, so all that is in it is half a project.
            let _ = fs::remove_dir_all(folder);
            return Err(NewError::Write(path, error));
        }
    }
    // A closed stdout is no reason to fail.
    let _ = write!(io::stdout(), "{}", next(options));
    Ok(())
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, contents)
}

fn next(options: &New) -> String {
    let New { folder, lang, .. } = options;
    let folder = folder.trim_end_matches('/');
    let source = lang.source();
    format!(
        "{folder}: an app in {lang}. Next:\n\n  \
         wasocket build {folder}\n  \
         wasocket serve {folder}/app.wasm --watch    and open http://127.0.0.1:1234/ in a browser\n\n\
         After changing {folder}/{source}, build again: --watch reloads it at once.\n\
         To test it: wasocket check {folder}/app.wasm --path /\n"
    )
}

/// The name of a project in this folder, which is the folder's. It must suit a crate and an npm package.
///
/// # Errors
///
/// If it does not.
pub fn name(folder: &str) -> Result<&str, String> {
    let name = folder.trim_end_matches('/').rsplit('/').next();
    let name = name.unwrap_or_default();
    let is_good = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if !is_good {
        return Err(
            "a name begins with a letter from a to z and contains only those, digits, - and _, at most 64 in all"
                .to_owned(),
        );
    }
    if TAKEN.contains(&name) {
        Err(format!("{name} has another meaning: choose another name"))
    } else {
        Ok(name)
    }
}

/// A checkout of the repository, as an absolute path.
fn repository(named: Option<&Path>) -> Result<PathBuf, NewError> {
    let folder = named.unwrap_or(Path::new(REPOSITORY));
    let is_repository = folder.join("src/lib.rs").exists() && folder.join("test-kit").exists();
    match (is_repository, folder.canonicalize()) {
        (true, Ok(folder)) => Ok(folder),
        _ => Err(NewError::Repository(named.map(Path::to_path_buf))),
    }
}

/// Why a project could not be created.
#[derive(Debug)]
#[non_exhaustive]
pub enum NewError {
    /// The name is invalid.
    Name(String),
    /// The folder exists already, or cannot be created.
    Folder(PathBuf, io::Error),
    /// This file cannot be written.
    Write(PathBuf, io::Error),
    /// The given folder, or the one this program was built in, is not a checkout of the repository.
    Repository(Option<PathBuf>),
}

impl fmt::Display for NewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => f.write_str(why),
            Self::Folder(folder, error) if error.kind() == ErrorKind::AlreadyExists => {
                write!(
                    f,
                    "{} exists already: choose another name",
                    folder.display()
                )
            }
            Self::Folder(path, error) | Self::Write(path, error) => {
                write!(f, "cannot create {}: {error}", path.display())
            }
            Self::Repository(Some(folder)) => {
                write!(
                    f,
                    "{} is not a checkout of Wasocket's repository",
                    folder.display()
                )
            }
            Self::Repository(None) => write!(
                f,
                "the crate wasocket is not published yet, and the checkout that this program was built from \
                 is gone: name another with --wasocket FOLDER"
            ),
        }
    }
}

impl std::error::Error for NewError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(_, error) | Self::Write(_, error) => Some(error),
            Self::Name(_) | Self::Repository(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_suit_every_language() {
        for (folder, expected) in [("hello", "hello"), ("a/b-2_c/", "b-2_c"), ("/tmp/x", "x")] {
            assert_eq!(name(folder), Ok(expected));
        }
        for bad in [
            "", "/", ".", "..", "Hello", "2b", "-a", "a b", "a.b", "é", "fn", "wasocket",
        ] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(name(&"x".repeat(65)).is_err());
    }
}
