//! Limits on clients before a component holds their socket, and on closing a socket.

use core::time::Duration;

/// The longest request line. RFC 9112 §3 recommends to support "at a minimum, request-line lengths of
/// 8000 octets". Beyond: 414.
pub const MAX_REQUEST_LINE: usize = 8 * 1024;

/// The longest head: request line and fields. Room for all the cookies that a browser sends to one
/// host in practice. Beyond: 431. A host may have another ([`Head::within`](super::Head::within)).
pub const MAX_HEAD: usize = 64 * 1024;

/// The most field lines. Browsers send some 20. Beyond: 431.
pub const MAX_FIELDS: usize = 100;

/// The time from when a head is waited for until it must be complete. It runs from the first moment,
/// not from the first byte, and no byte extends it; so it is also how long a connection may idle.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a request body that are discarded to keep the connection.
pub const MAX_DISCARDED: u64 = 1024 * 1024;

/// How long that may take.
pub const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// The most fields of a response. As many as the crate `http`, which the runner is made with, can hold.
pub const MAX_RESPONSE_FIELDS: usize = 24_000;

/// The most final bytes of a connection (`websocket-handler.wit`, `takeover`).
pub const MAX_FINAL_BYTES: usize = 1024;

/// How long the peer may stop reading the last bytes before the socket is closed.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the peer may take to close after us, its input being discarded.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// How much it may send meanwhile.
pub const MAX_LINGERED: u64 = 1024 * 1024;
