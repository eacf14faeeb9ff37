//! The capabilities that the operator grants to a component.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::guest::wasi::Directory;
use crate::guest::wasi::Policy;

/// What is granted to a component that asks for it.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Requests to HTTP backends. Without a policy, a component that imports them is refused.
    pub http: Option<Arc<Policy>>,
    /// The TCP servers that it may connect to; port 0 is any.
    pub tcp: Vec<SocketAddr>,
    /// Its environment: names and values.
    pub environment: Vec<(String, String)>,
    /// The directories that it may read in, and some of them write.
    pub directories: Vec<Directory>,
}
