//! What a client may ask of the runner before a component holds its socket. All numbers of HTTP are
//! here.

use std::time::Duration;

/// The longest request line. RFC 9112 §3 recommends to support "at a minimum, request-line lengths of
/// 8000 octets". Beyond: 414.
pub(crate) const MAX_REQUEST_LINE: usize = 8 * 1024;

/// The longest head: request line and fields. Room for all the cookies that a browser sends to one
/// host in practice. Beyond: 431.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// The most field lines. Browsers send some 20. Beyond: 431.
pub(crate) const MAX_FIELDS: usize = 100;

/// The time from when a head is waited for until it must be complete. It runs from the first moment,
/// not from the first byte, and no byte extends it; so it is also how long a connection may idle.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a request body that are discarded to keep the connection.
pub(crate) const MAX_DISCARDED: usize = 1024 * 1024;

/// How long that may take.
pub(crate) const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
