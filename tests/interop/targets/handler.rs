//! `wasocket serve`, which passes the whole table.

use support::Server;

#[test]
fn apps_on_wasocket_serve() {
    // JavaScript's engine takes some 100 ns for each character of a text, and the machine may be busy.
    let options = ["--call-timeout", "5000"];
    for language in super::ALL_FORMS {
        super::check("handler", language, &[], |app| {
            Server::serving(&super::compose(app, "handler"), &options)
        });
    }
}
