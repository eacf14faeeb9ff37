//! Encodes a core module from a compiler of C or Go as a component, as `wasm-tools component new` does.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use wasocket_host::guest::compose::sections::custom;
use wasocket_host::guest::load::whole_file;

/// An object file with the world `application`, as wit-bindgen generates it for linkers.
const APPLICATION: &[u8] =
    include_bytes!("../../../../languages/c/bindings/wasocket_component_type.o");

/// The prefix of the names of such sections.
const WORLD: &str = "component-type";

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Encodes a module as a component, of the world it contains or else of `application`.
///
/// # Errors
///
/// If a file cannot be read or written, or the module does not fit its world.
pub(super) fn componentize(module: &Path, component: &Path) -> Result<(), Error> {
    let module = fs::read(module)?;
    let bytes = encode(&with_world(&module))?;
    Ok(whole_file::write(component, &bytes, 0o666)?)
}

/// Adds the world, as Go's linker, unlike those of C, links nothing but Go.
fn with_world(module: &[u8]) -> Cow<'_, [u8]> {
    match (custom(module, WORLD), custom(APPLICATION, WORLD)) {
        (None, Some(world)) => [module, world].concat().into(),
        _ => module.into(),
    }
}

/// The adapter is for `printf` and the like; functions that are not called are left out.
fn encode(module: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = ComponentEncoder::default();
    encoder.module(module)?.adapter(
        WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    )?;
    Ok(encoder.encode()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_a_world_gets_one() {
        let module = b"\0asm\x01\0\0\0";
        let given = with_world(module);
        assert!(given.len() > module.len() && given.starts_with(module));
        assert_eq!(with_world(&given), given, "it has one now");
    }
}
