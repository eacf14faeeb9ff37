//! A directory granted to a component.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// A host directory and its path in the guest: `HOST_PATH::GUEST_PATH` for reading, `HOST_PATH::GUEST_PATH::rw` for
/// writing too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its path on the host.
    pub host: PathBuf,
    /// Its path in the guest.
    pub guest: String,
    /// Whether the component may write.
    pub is_writable: bool,
}

impl FromStr for Directory {
    type Err = String;

    /// Both paths are required: the operator knows one, the component's author the other.
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
                HOST_PATH::GUEST_PATH::rw if the app may write"
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
    /// Checks that it exists.
    ///
    /// # Errors
    ///
    /// If it does not exist, or is not a directory.
    pub fn check(&self) -> io::Result<()> {
        if fs::metadata(&self.host)?.is_dir() {
            Ok(())
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    /// Mounts it for an instance. If it no longer exists, an error is logged and the instance starts without it.
    pub(crate) fn mount(&self, wasi: &mut WasiCtxBuilder) {
        let permissions = if self.is_writable {
            FsPerms::ReadWrite
        } else {
            FsPerms::ReadOnly
        };
        if let Err(error) = wasi.preopened_dir(&self.host, &self.guest, permissions) {
            let host = self.host.display();
            tracing::error!("cannot mount {host} (--dir): {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_paths_are_required() {
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
