//! The capabilities that the operator grants to a component.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::guest::wasi::Directory;
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
}
