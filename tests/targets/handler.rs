//! `wasocket serve`, which can do all of it.

use crate::runner::Server;

#[test]
fn handler() {
    // JavaScript's engine takes some 100 ns for each character of a text.
    let options = ["--call-timeout", "1000"];
    for language in ["fused", "rust", "c", "javascript", "python"] {
        super::check("handler", language, &[], |app| {
            Server::of(&super::compose(app, "handler"), &options)
        });
    }
}
