//! The worker's shared read buffer.

use std::cell::Cell;
use std::fmt;

/// The most bytes per call (`websocket-handler.wit`, `receive`).
const SIZE: usize = 64 * 1024;

/// A buffer shared by all connections, so that idle ones have none.
///
/// A call takes the buffer and puts it back. While a long call has it, another one is allocated.
#[derive(Default)]
pub(crate) struct ReadBuffer(Cell<Option<Box<[u8]>>>);

impl ReadBuffer {
    /// Takes the buffer, or allocates one.
    pub(crate) fn take(&self) -> Box<[u8]> {
        let kept = self.0.take();
        kept.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
    }

    /// Puts a buffer back.
    pub(crate) fn put_back(&self, buffer: Box<[u8]>) {
        self.0.set(Some(buffer));
    }
}

impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadBuffer")
    }
}

/// A buffer whose first `length` bytes are filled.
pub(crate) struct Filled {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) length: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}
