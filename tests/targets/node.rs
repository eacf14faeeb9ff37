//! Node's HTTP server, by the package in `npm/`: it can do all of it. The rest is in `npm/test`.

use std::path::Path;
use std::process::Command;

use crate::runner::{Server, root};

fn serve(app: &Path) -> Server {
    let folder = super::compose(app, "node");
    let server = folder.join("server.js");
    // JavaScript's engine takes some 100 ns for each character of a text.
    Server::run(
        Command::new("node")
            // Python's modules need it; Node 22 knows it without.
            .arg("--experimental-wasm-extended-const")
            .arg(server)
            .args(["--listen", "127.0.0.1:0", "--call-timeout", "2000"]),
    )
}

#[test]
fn node() {
    for language in ["fused", "rust", "c", "javascript", "python"] {
        super::check("node", language, &[], serve);
    }
}

/// What `npm/test` has, and whether the types are right.
#[test]
fn the_package() {
    for script in ["check", "test"] {
        let output = Command::new("npm")
            .args(["run", "--silent", script])
            .current_dir(root().join("npm"))
            .output()
            .expect("npm runs; `make setup` installs it");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
