//! Templates of new projects: `cli/templates`, the contract, and the C bindings.

use std::path::Path;

use super::language::Language;

/// A path in the project, and the file's contents.
type File = (&'static str, &'static [u8]);

/// A file of a template.
macro_rules! file {
    ($path:literal, $template:literal) => {
        (
            $path,
            include_bytes!(concat!("../../../templates/", $template)).as_slice(),
        )
    };
}

/// A file that is also used elsewhere in the repository.
macro_rules! shared {
    ($path:literal, $original:literal) => {
        (
            $path,
            include_bytes!(concat!("../../../../", $original)).as_slice(),
        )
    };
}

const PAGE: &str = include_str!("../../../templates/page.html");

// Renamed in the project, so that no tool mistakes them for its own files here.
const RUST: &[File] = &[
    file!("Cargo.toml", "rust/Cargo.toml.in"),
    file!("src/lib.rs", "rust/lib.rs"),
    file!("src/page.html", "page.html"),
    file!("README.md", "rust/README.md"),
    file!(".gitignore", "rust/gitignore"),
];

const JAVASCRIPT: &[File] = &[
    file!("app.js", "javascript/app.js"),
    shared!("entry.js", "languages/javascript/entry.js"),
    file!("page.js", "javascript/page.js.in"),
    file!("build.js", "javascript/build.js"),
    file!("package.json", "javascript/package.json.in"),
    // The versions that these tests run with: newer ones might not fit, or need a newer node.
    shared!(
        "package-lock.json",
        "languages/javascript/package-lock.json"
    ),
    file!("README.md", "javascript/README.md"),
    file!(".gitignore", "javascript/gitignore"),
];

const PYTHON: &[File] = &[
    file!("app.py", "python/app.py"),
    shared!("entry.py", "languages/python/entry.py"),
    file!("page.html", "page.html"),
    shared!("requirements.txt", "languages/python/requirements.txt"),
    file!("README.md", "python/README.md"),
    file!(".gitignore", "python/gitignore"),
];

const C: &[File] = &[
    file!("app.c", "c/app.c"),
    file!("page.html", "page.html"),
    shared!("bindings/actions.c", "languages/c/bindings/actions.c"),
    shared!("bindings/actions.h", "languages/c/bindings/actions.h"),
    shared!("bindings/wasocket.c", "languages/c/bindings/wasocket.c"),
    shared!("bindings/wasocket.h", "languages/c/bindings/wasocket.h"),
    shared!(
        "bindings/wasocket_component_type.o",
        "languages/c/bindings/wasocket_component_type.o"
    ),
    shared!("requirements.txt", "languages/c/requirements.txt"),
    file!("README.md", "c/README.md"),
    file!(".gitignore", "c/gitignore"),
];

const GO: &[File] = &[
    file!("app.go", "go/app.go.in"),
    file!("go.mod", "go/go.mod.in"),
    file!("page.html", "page.html"),
    shared!("wasocket/abi.go", "languages/go/wasocket/abi.go"),
    shared!("wasocket/topics.go", "languages/go/wasocket/topics.go"),
    shared!("wasocket/wasocket.go", "languages/go/wasocket/wasocket.go"),
    shared!("requirements.txt", "languages/go/requirements.txt"),
    file!("README.md", "go/README.md"),
    file!(".gitignore", "go/gitignore"),
];

const WIT: &[File] = &[
    shared!("wit/app.wit", "wit/app.wit"),
    shared!("wit/types.wit", "wit/types.wit"),
    shared!("wit/websocket-client.wit", "wit/websocket-client.wit"),
    shared!("wit/websocket-handler.wit", "wit/websocket-handler.wit"),
    shared!("wit/world.wit", "wit/world.wit"),
];

/// The files of a project of this name. `repository`: where the Rust crates are.
pub(super) fn files(
    language: Language,
    name: &str,
    repository: &Path,
) -> Vec<(&'static str, Vec<u8>)> {
    let (own, shared): (_, &[File]) = match language {
        Language::Rust => (RUST, &[]),
        Language::JavaScript => (JAVASCRIPT, WIT),
        Language::Python => (PYTHON, WIT),
        Language::C => (C, WIT),
        Language::Go => (GO, WIT),
    };
    let fill = |&(path, template): &File| (path, fill(template, name, repository));
    own.iter().chain(shared).map(fill).collect()
}

/// Fills in what differs between projects. Binary files stay unchanged.
fn fill(template: &[u8], name: &str, repository: &Path) -> Vec<u8> {
    let Ok(text) = str::from_utf8(template) else {
        return template.to_vec();
    };
    text.replace("{{wasocket}}", &quoted(repository))
        .replace("{{test-kit}}", &quoted(&repository.join("test-kit")))
        .replace("{{page}}", PAGE)
        .replace("{{name}}", name)
        .into_bytes()
}

/// A string literal of JSON and TOML.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left() {
        use clap::ValueEnum;
        for language in Language::value_variants() {
            let files = files(*language, "hello", Path::new("/a\"b"));
            for (path, contents) in &files {
                let text = String::from_utf8_lossy(contents);
                assert!(!text.contains("{{"), "{path}");
            }
            for needed in [language.mark(), language.source(), "README.md"] {
                assert!(files.iter().any(|(path, _)| *path == needed), "{needed}");
            }
        }
    }

    #[test]
    fn the_page_fits_into_a_javascript_template_literal() {
        assert!(!PAGE.contains(['`', '\\']) && !PAGE.contains("${"));
    }
}
