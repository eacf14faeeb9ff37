//! The table of docs/security.md names tests that exist.

use std::fs;

use support::root;
use wasocket_vectors as vectors;

/// For every row of the table in docs/security.md, the tests and vectors it names exist.
#[test]
fn every_test_named_in_the_security_table_exists() {
    let text = fs::read_to_string(root().join("docs/security.md")).expect("the page");
    let (_, table) = text
        .split_once("| Failure | Handled in | Shown by |\n")
        .expect("a table");
    let rows = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(1);
    let cells: Vec<&str> = rows.filter_map(|row| row.split(" | ").nth(2)).collect();
    assert!(cells.len() > 40, "{} rows", cells.len());
    let names = names_of_vectors();
    for cell in cells {
        check_tests(cell);
        for name in cell.split('*').skip(1).step_by(2) {
            let begins = |own: &String| match name.strip_suffix(": ..") {
                Some(beginning) => own.starts_with(beginning),
                None => own == name,
            };
            assert!(names.iter().any(begins), "no vector *{name}*: {cell}");
        }
    }
}

/// The words in backticks are names of tests, followed by the file they are in.
fn check_tests(cell: &str) {
    let mut tests: Vec<&str> = vec![];
    for word in cell.split('`').skip(1).step_by(2) {
        let is_fuzzed = |target| {
            ["protocol", "host"].iter().any(|folder| {
                root()
                    .join(format!("fuzz/{folder}/targets/{target}.rs"))
                    .exists()
            })
        };
        if word.ends_with(".rs") {
            let file = fs::read_to_string(root().join(word));
            let file = file.unwrap_or_else(|error| panic!("{word}: {error}"));
            for test in tests.drain(..) {
                assert!(file.contains(&format!("fn {test}(")), "no {test} in {word}");
            }
        } else if !word.contains(' ') && !is_fuzzed(word) {
            tests.push(word);
        }
    }
    assert_eq!(tests, [""; 0], "no file is named: {cell}");
}

/// The names of all vectors, and of the other checks of `wasocket check`.
fn names_of_vectors() -> Vec<String> {
    let handshakes = vectors::handshakes().into_iter().map(|vector| vector.name);
    let http2 = vectors::http2_handshakes().into_iter();
    let frames = vectors::frames().into_iter().map(|vector| vector.name);
    let mut names: Vec<String> = handshakes.chain(http2.map(|vector| vector.name)).collect();
    names.extend(frames);
    for file in ["contract.rs", "subject.rs", "trial.rs", "suspension.rs"] {
        let text = fs::read_to_string(root().join("cli/src/commands/check").join(file));
        let text = text.expect("a file");
        names.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    names
}
