//! The capabilities that the operator grants to a component.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::guest::wasi::Directory;
use crate::guest::wasi::OpenFiles;
use crate::guest::wasi::Policy;

/// What a component is granted, if it asks for it.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// HTTP backends. If `None`, components that import them are refused.
    pub http: Option<Arc<Policy>>,
    /// TCP servers that it may connect to; port 0 means any port.
    pub tcp: Vec<SocketAddr>,
    /// Environment variables: names and values.
    pub environment: Vec<(String, String)>,
    /// Directories that it may read, and possibly write.
    pub directories: Vec<Directory>,
    /// The process's open files, of which it must leave some to clients.
    pub files: Arc<OpenFiles>,
}

impl Grants {
    /// Whether the component may open connections or files.
    pub(crate) fn include_files(&self) -> bool {
        let backends = self
            .http
            .as_ref()
            .is_some_and(|http| !http.allowed.is_empty());
        backends || !self.tcp.is_empty() || !self.directories.is_empty()
    }
}
