//! A directory of the host's that a component is granted.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// A directory, and what the component calls it: `HOST_PATH::GUEST_PATH`. It is for reading.
///
/// A file is written by WASI's streams in the background, and the component waits for the end of that inside of its
/// call: which no call may. To grant it would be to grant a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub host: PathBuf,
    /// Where the component finds it.
    pub guest: String,
}

impl FromStr for Directory {
    type Err = String;

    /// Both paths have to be named: who runs the component knows the one, and who wrote it the other.
    fn from_str(text: &str) -> Result<Self, String> {
        let paths = text.split_once("::");
        let paths = paths
            .filter(|(host, guest)| !host.is_empty() && !guest.is_empty() && !guest.contains("::"));
        let (host, guest) =
            paths.ok_or("expected HOST_PATH::GUEST_PATH, such as ./pages::/pages")?;
        Ok(Self {
            host: host.into(),
            guest: guest.to_owned(),
        })
    }
}

impl Directory {
    /// Whether it is there.
    ///
    /// # Errors
    ///
    /// When it is not, or is no directory.
    pub fn check(&self) -> io::Result<()> {
        match fs::metadata(&self.host)?.is_dir() {
            true => Ok(()),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Gives it to an instance. One that is not there any more is reported, and missing.
    pub(crate) fn give(&self, wasi: &mut WasiCtxBuilder) {
        if let Err(error) = wasi.preopened_dir(&self.host, &self.guest, FsPerms::ReadOnly) {
            let host = self.host.display();
            tracing::error!("{host} cannot be given to the component (--dir): {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_paths_are_named() {
        let directory = |guest: &str| {
            Ok(Directory {
                host: "./a:b".into(),
                guest: guest.to_owned(),
            })
        };
        assert_eq!(Directory::from_str("./a:b::/data"), directory("/data"));
        assert_eq!(Directory::from_str("./a:b::."), directory("."));
        for bad in ["", "data", "::/data", "data::", "a::b::rw", "a::b::"] {
            assert!(Directory::from_str(bad).is_err(), "{bad}");
        }
    }
}
