//! The memory limit of a guest instance.

use std::fmt;

use wasmtime::ResourceLimiter;

/// Limits the memory of a guest, all its memories and tables together.
///
/// Growth beyond the limit traps instead of failing: an allocator that is refused memory traps anyway, but does not say
/// why.
pub(crate) struct MemoryLimiter {
    limit: usize,
    used: usize,
}

impl MemoryLimiter {
    /// A limiter of `limit` bytes, with nothing allocated yet.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    fn grow(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        match self.used.checked_add(bytes) {
            Some(used) if used <= self.limit => {
                self.used = used;
                Ok(true)
            }
            _ => Err(MemoryExceeded(self.limit).into()),
        }
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current);
        self.grow(elements.saturating_mul(size_of::<usize>()))
    }
}

/// The error that ends a guest when it exceeds this limit, in bytes.
#[derive(Debug)]
pub(crate) struct MemoryExceeded(pub(crate) usize);

impl fmt::Display for MemoryExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} bytes of memory", self.0)
    }
}

impl std::error::Error for MemoryExceeded {}
