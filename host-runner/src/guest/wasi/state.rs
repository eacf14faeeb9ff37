//! The data of a guest's store: its memory limit and the state of WASI.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::guest::engine::CallClock;
use crate::guest::wasi::Grants;
use crate::guest::wasi::http::Outgoing;
use crate::guest::wasi::link;
use crate::guest::wasi::memory::MemoryLimiter;

/// The data of a guest's store.
pub(crate) struct State {
    pub(crate) memory: MemoryLimiter,
    /// The time of the current call.
    pub(crate) clock: CallClock,
    pub(crate) grants: Arc<Grants>,
    /// Made when a guest first uses WASI; most never do.
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    pub(crate) outgoing: Outgoing,
    pub(crate) table: ResourceTable,
}

impl State {
    /// The state of a new guest with a memory limit in bytes.
    pub(crate) fn new(limit: usize, grants: &Arc<Grants>) -> Self {
        let policy = grants.http.clone().unwrap_or_default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(policy.max_resources());
        Self {
            memory: MemoryLimiter::new(limit),
            clock: CallClock::default(),
            grants: Arc::clone(grants),
            wasi: None,
            http: WasiHttpCtx::new(),
            outgoing: Outgoing::new(policy, Arc::clone(&grants.files)),
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
            ctx: self.wasi.get_or_insert_with(|| link::context(&self.grants)),
            table: &mut self.table,
        }
    }
}
