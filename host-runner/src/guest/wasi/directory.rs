//! A directory of the host's that a component is granted.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// A directory, and what the component calls it: `HOST_PATH::GUEST_PATH`, for reading, or
/// `HOST_PATH::GUEST_PATH::rw`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub host: PathBuf,
    /// Where the component finds it.
    pub guest: String,
    /// Whether the component may change what is in it.
    pub is_writable: bool,
}

impl FromStr for Directory {
    type Err = String;

    /// Both paths have to be named: who runs the component knows the one, and who wrote it the other.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split("::").collect();
        let (host, guest, is_writable) = match parts[..] {
            [host, guest] => (host, guest, false),
            [host, guest, "rw"] => (host, guest, true),
            _ => ("", "", false),
        };
        if host.is_empty() || guest.is_empty() {
            return Err(
                "expected HOST_PATH::GUEST_PATH, such as ./pages::/pages, or \
                HOST_PATH::GUEST_PATH::rw where the app may write"
                    .to_owned(),
            );
        }
        Ok(Self {
            host: host.into(),
            guest: guest.to_owned(),
            is_writable,
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
        let permissions = match self.is_writable {
            true => FsPerms::ReadWrite,
            false => FsPerms::ReadOnly,
        };
        if let Err(error) = wasi.preopened_dir(&self.host, &self.guest, permissions) {
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
        let directory = |guest: &str, is_writable| {
            Ok(Directory {
                host: "./a:b".into(),
                guest: guest.to_owned(),
                is_writable,
            })
        };
        for (text, expected) in [
            ("./a:b::/data", directory("/data", false)),
            ("./a:b::.", directory(".", false)),
            ("./a:b::/data::rw", directory("/data", true)),
        ] {
            assert_eq!(Directory::from_str(text), expected);
        }
        for bad in [
            "",
            "data",
            "::/data",
            "data::",
            "a::b::ro",
            "a::b::",
            "::::rw",
            "a::b::rw::",
        ] {
            assert!(Directory::from_str(bad).is_err(), "{bad}");
        }
    }
}
