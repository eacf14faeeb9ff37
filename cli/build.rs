//! Lists the files of `npm/`, which the program brings along for targets that are JavaScript.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What of `npm/` makes folders for Node and for Workers.
const NPM: [&str; 11] = [
    "package.json",
    "package-lock.json",
    "transpile.js",
    "node.js",
    "node",
    "serve.js",
    "history.js",
    "wasi.js",
    "workers.js",
    "workers",
    "templates",
];

fn main() -> Result<(), String> {
    let variable = |name| env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"));
    let package = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../npm");
    let out = PathBuf::from(variable("OUT_DIR")?);
    list_package(&package, &out.join("npm.rs"))
        .map_err(|error| format!("cannot list the files of npm/: {error}"))
}

/// Writes a list of the files of the npm package, for `src/commands/project/package.rs`.
fn list_package(package: &Path, list: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for part in NPM {
        println!("cargo:rerun-if-changed={}", package.join(part).display());
        find(package, Path::new(part), &mut files)?;
    }
    let entry = |file: &PathBuf| {
        let source = package.join(file);
        format!("({file:?}, include_bytes!({source:?}).as_slice()),\n")
    };
    let entries: String = files.iter().map(entry).collect();
    fs::write(list, format!("&[\n{entries}]\n"))
}

/// The files at a path, or below it, in the order of their names.
fn find(package: &Path, path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !package.join(path).is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let names: io::Result<Vec<_>> = fs::read_dir(package.join(path))?
        .map(|entry| Ok(entry?.file_name()))
        .collect();
    let mut names = names?;
    names.sort();
    let mut each = names.iter();
    each.try_for_each(|name| find(package, &path.join(name), files))
}
