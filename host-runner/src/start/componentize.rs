//! From the module that a C compiler makes to a component: what `wasm-tools component new` does.

use std::fs;
use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Encodes a module, which knows its world, as a component.
///
/// # Errors
///
/// When a file cannot be read or written, or the module does not fit its world.
pub(super) fn componentize(module: &Path, component: &Path) -> Result<(), Error> {
    let bytes = encode(&fs::read(module)?)?;
    Ok(fs::write(component, bytes)?)
}

/// The adapter is for `printf` and its like: what is not called is left out.
fn encode(module: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = ComponentEncoder::default();
    encoder.module(module)?.adapter(
        WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    )?;
    Ok(encoder.encode()?)
}
