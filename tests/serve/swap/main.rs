//! New versions of the component, with the running program: connections move to them, and nothing is lost.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod crowd;
mod faults;
mod moves;
#[path = "../topics/peer.rs"]
#[allow(dead_code, reason = "the tests of topics use the rest")]
mod peer;
mod talker;
mod traffic;
mod upgrade;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Instant;
use std::{fs, thread};

use support::{Server, TIMEOUT, build_guest, root, target_folder, wasocket};

static GUEST: LazyLock<Vec<u8>> =
    LazyLock::new(|| fs::read(build_guest("topics", "")).expect("a component"));

/// A running server, and the file of its component.
struct Versions {
    server: Server,
    file: PathBuf,
    number: AtomicU8,
}

impl Versions {
    /// Serves a component that is replaced when its file changes.
    fn serve(test: &str, component: &[u8], options: &[&str]) -> Self {
        Self::serve_unwatched(test, component, &[&["--watch"], options].concat())
    }

    /// Serves a component from a file of its own.
    fn serve_unwatched(test: &str, component: &[u8], options: &[&str]) -> Self {
        Self::start(test, component, |file| Server::serving(file, options))
    }

    /// Serves the first of two components, each of which may take a while to compile; then they replace each other
    /// instantly.
    fn serve_compiled(test: &str, components: [&[u8]; 2], options: &[&str]) -> Self {
        // Other tests would evict them from a shared cache.
        let cache = root().join("target/cache/swap");
        let serve = |component| {
            Self::start(test, component, |file| {
                let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--watch"]);
                command.args(["--allow-host", "*"]).arg(file).args(options);
                Server::run(command.env("XDG_CACHE_HOME", &cache))
            })
        };
        drop(serve(components[1]));
        serve(components[0])
    }

    fn start(test: &str, component: &[u8], serve: impl FnOnce(&Path) -> Server) -> Self {
        let file = target_folder(&format!("swap-{test}")).join("app.wasm");
        fs::write(&file, component).expect("written");
        Self {
            server: serve(&file),
            file,
            number: AtomicU8::new(0),
        }
    }

    /// Replaces the component by another one, and waits until it is.
    fn replace(&self, component: &[u8]) {
        let served = || {
            self.server
                .log()
                .matches("the new version is served")
                .count()
        };
        let before = served();
        fs::write(&self.file, component).expect("written");
        let start = Instant::now();
        while served() == before {
            assert!(start.elapsed() < 5 * TIMEOUT, "{}", self.server.log());
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Replaces the component by one that does the same.
    fn replace_by_same(&self, component: &[u8]) {
        let number = self.number.fetch_add(1, Relaxed);
        self.replace(&another(component, number));
    }
}

/// The same component, with a custom section that has this number.
fn another(component: &[u8], number: u8) -> Vec<u8> {
    [component, &[0, 5, 3, b'n', b'o', b'.', number]].concat()
}
