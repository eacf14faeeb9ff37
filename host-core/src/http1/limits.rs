//! Limits on clients before a component holds their socket, and on closing a socket.

use core::time::Duration;

/// The longest request line. RFC 9112 §3 recommends to support "at a minimum, request-line lengths of
/// 8000 octets". Longer ones get 414.
pub const MAX_REQUEST_LINE: usize = 8 * 1024;

/// The longest head: request line and fields. Has room for all the cookies that a browser sends to one
/// host in practice. Longer ones get 431. A host may set another limit ([`Head::within`](super::Head::within)).
pub const MAX_HEAD: usize = 64 * 1024;

/// The most field lines. Browsers send about 20. More get 431.
pub const MAX_FIELDS: usize = 100;

/// The time in which a head must be complete. It runs from the start of the wait,
/// not from the first byte, and no byte extends it; so it is also how long a connection may be idle.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a request body that are discarded to keep the connection.
pub const MAX_DISCARDED: u64 = 1024 * 1024;

/// How long that may take.
pub const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// The most fields of a response: as many as the crate `http`, which the runner uses, can hold.
pub const MAX_RESPONSE_FIELDS: usize = 24_000;

/// The most final bytes of a connection (`websocket-handler.wit`, `takeover`).
pub const MAX_FINAL_BYTES: usize = 1024;

/// How long the peer may accept none of the last bytes before the socket is closed, where no other time is set.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the peer may take to close after us. Its input is discarded meanwhile.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes that it may send meanwhile.
pub const MAX_LINGERED: u64 = 1024 * 1024;
