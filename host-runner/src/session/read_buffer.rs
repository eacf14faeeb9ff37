//! What sockets are read into.

use std::cell::Cell;
use std::fmt;

/// The most bytes that a guest is given at once (`websocket-handler.wit`, `receive`).
const SIZE: usize = 64 * 1024;

/// The buffer that whichever connection is readable reads into, so that an idle one has none.
///
/// A call takes it along, and brings it back. While one is away for long there is another.
#[derive(Default)]
pub(crate) struct ReadBuffer(Cell<Option<Box<[u8]>>>);

impl ReadBuffer {
    /// Takes the buffer, to be brought back.
    pub(crate) fn take(&self) -> Box<[u8]> {
        let kept = self.0.take();
        kept.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
    }

    /// Brings it back, or another one.
    pub(crate) fn put_back(&self, buffer: Box<[u8]>) {
        self.0.set(Some(buffer));
    }
}

impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadBuffer")
    }
}

/// The bytes at the beginning of a buffer.
pub(crate) struct Filled {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) length: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}
