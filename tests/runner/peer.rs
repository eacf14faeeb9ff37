//! The peers of `tests/peers`, which nobody here wrote, as clients.

use std::process::Command;

use super::{Server, root};

impl Server {
    /// Has a peer, Chromium say, do what it does with the app of this server; it ends by itself within a minute.
    /// `scheme`: `ws` or `wss`.
    #[track_caller]
    pub fn assert_serves(&self, peer: &str, scheme: &str) {
        let output = Command::new(root().join("tests/peers/run"))
            .args([peer, &format!("{scheme}://{}", self.address)])
            .output()
            .expect("tests/peers/run runs");
        assert!(
            output.status.success(),
            "{}{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.log(),
        );
    }
}
