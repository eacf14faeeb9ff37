//! The peers of `tests/peers`, which nobody here wrote, as clients.

use std::process::Command;

use super::{Server, Site, root};

impl Site {
    /// Has a peer, Chromium say, do what it does with what is served here; it ends by itself within a minute.
    /// `scheme`: `ws` or `wss`.
    ///
    /// # Errors
    ///
    /// What it has said, if it is not content.
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
    /// The same; what it is served by says why it is not content.
    #[track_caller]
    pub fn assert_serves(&self, peer: &str, scheme: &str) {
        if let Err(said) = self.serves(peer, scheme) {
            panic!("{said}{}", self.log());
        }
    }
}
