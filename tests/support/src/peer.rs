//! Third-party clients, from `tests/peers`.

use std::process::Command;

use crate::{Server, Site, root};

impl Site {
    /// Runs a peer, such as Chromium, against this server; it exits on its own within a minute.
    /// `scheme`: `ws` or `wss`.
    ///
    /// # Errors
    ///
    /// The peer's output, if it fails.
    pub fn serves(&self, peer: &str, scheme: &str) -> Result<(), String> {
        let output = Command::new(root().join("tests/peers/run"))
            .args([peer, &format!("{scheme}://{}", self.address)])
            .output()
            .expect("tests/peers/run runs");
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy;
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}

impl Server {
    /// Runs a peer against this server; a failure shows the server's log, too.
    #[track_caller]
    pub fn assert_serves(&self, peer: &str, scheme: &str) {
        if let Err(output) = self.serves(peer, scheme) {
            panic!("{output}{}", self.log());
        }
    }
}
