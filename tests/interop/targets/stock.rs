//! A minimal stock runtime: the parts of `wasmtime run -S inherit-network`, and nothing from this repository. So
//! a component that it runs needs nothing from this repository either.
//!
//!     stock COMPONENT [ARGUMENT]...

use std::env;
use std::process::ExitCode;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, OptLevel, RegallocAlgorithm, Result, Store};
use wasmtime_wasi::p2::add_to_linker_sync;
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// The engines of JavaScript and Python take long to compile, but are run for seconds only.
fn quick_to_compile() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::None)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
    config
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let engine = Engine::new(&quick_to_compile())?;
    let file = arguments.first().map(String::as_str).unwrap_or_default();
    let component = Component::from_file(&engine, file)?;
    let mut linker = Linker::new(&engine);
    add_to_linker_sync(&mut linker)?;
    let wasi = WasiCtx::builder()
        .inherit_stdio()
        .allow_tcp(true)
        .inherit_network()
        .args(&arguments)
        .build();
    let table = ResourceTable::new();
    let mut store = Store::new(&engine, State { wasi, table });
    let command = Command::instantiate(&mut store, &component, &linker)?;
    match command.wasi_cli_run().call_run(&mut store)? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(()) => Ok(ExitCode::FAILURE),
    }
}
