//! Cloudflare Durable Objects, in workerd, by the package in `npm/`.

use std::path::Path;
use std::process::Command;

use crate::runner::{Server, root};

const CANNOT: &[(&str, &str)] = &[];

fn serve(app: &Path) -> Server {
    let folder = super::node::transpile(app, "workers");
    Server::run(Command::new(root().join("npm/test/workerd.sh")).arg(folder))
}

#[test]
fn workers() {
    for language in ["rust", "c", "javascript", "python"] {
        super::check("workers", language, CANNOT, serve);
    }
}
