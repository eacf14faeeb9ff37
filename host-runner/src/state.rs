//! What lives beside a guest in its store: its share of memory and what WASI keeps for it.

use std::fmt;
use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::component::Grants;
use crate::outgoing::Outgoing;
use crate::wasi;

/// The data of a guest's store.
pub(crate) struct State {
    pub(crate) memory: MemoryLimiter,
    /// What is left of the time of the call that is under way, when it has given way.
    pub(crate) ticks_left: u64,
    grants: Arc<Grants>,
    /// Made when a guest first asks for something of WASI; most never do.
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    pub(crate) outgoing: Outgoing,
    pub(crate) table: ResourceTable,
}

impl State {
    /// The state of a new guest, whose memories and tables together may take `limit` bytes.
    pub(crate) fn new(limit: usize, grants: &Arc<Grants>) -> Self {
        let policy = grants.http.clone().unwrap_or_default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(policy.max_resources());
        Self {
            memory: MemoryLimiter { limit, used: 0 },
            ticks_left: 0,
            grants: Arc::clone(grants),
            wasi: None,
            http: WasiHttpCtx::new(),
            outgoing: Outgoing::new(policy),
            table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outgoing,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(|| wasi::context(&self.grants)),
            table: &mut self.table,
        }
    }
}

/// Bounds what a guest may allocate, all its memories and tables taken together.
///
/// Growth beyond the limit traps instead of failing: an allocator that is refused memory ends in a
/// trap anyhow, but in one that does not say why.
pub(crate) struct MemoryLimiter {
    limit: usize,
    used: usize,
}

impl MemoryLimiter {
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

/// The error with which [`MemoryLimiter`] ends a guest; the number is the limit in bytes.
#[derive(Debug)]
pub(crate) struct MemoryExceeded(pub(crate) usize);

impl fmt::Display for MemoryExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} bytes of memory", self.0)
    }
}

impl std::error::Error for MemoryExceeded {}
