//! A certificate that can be renewed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::{target_folder, tls_file};

use super::serve;

/// A copy of the certificate in `tests/support/tls`, in a folder of its own.
pub struct Certificate(pub PathBuf);

impl Certificate {
    pub fn new(name: &str) -> Self {
        let folder = target_folder(&format!("sockets-{name}"));
        for file in ["certificate.pem", "key.pem"] {
            fs::copy(tls_file(file), folder.join(file)).expect("the folder is writable");
        }
        Self(folder)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// Replaces the files by those of a new certificate.
    pub fn renew(&self) {
        self.make("CA:FALSE");
    }

    /// Replaces the files by those of a new certificate with these basic constraints.
    pub fn make(&self, constraints: &str) {
        let status = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args([
                "-addext",
                &format!("basicConstraints=critical,{constraints}"),
            ])
            .arg("-keyout")
            .arg(self.key())
            .arg("-out")
            .arg(self.file())
            .output()
            .expect("openssl runs")
            .status;
        assert!(status.success());
    }

    pub fn serve(&self, options: &[&str]) -> Command {
        let mut command = serve(options);
        command.arg("--tls-cert").arg(self.file());
        command.arg("--tls-key").arg(self.key());
        command
    }
}
