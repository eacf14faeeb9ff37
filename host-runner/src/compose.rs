//! Apps without a protocol: a component that exports `app`, in whatever language, is joined with the
//! protocol component, which is embedded here, to one that exports `websocket-handler`.
//!
//! `wac plug` does the same with the two files; here it is a library.

use std::borrow::Cow;
use std::fmt;

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};

/// The protocol alone: `components/protocol`, as `build.rs` built it.
pub(crate) const PROTOCOL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/protocol.wasm"));

/// The interface that an app exports.
pub(crate) const APP: &str = "wasocket:websocket/app@0.1.0";

/// The component as it is; or, if it is an app alone, joined with the protocol.
///
/// # Errors
///
/// When it is an app that cannot be joined.
pub fn with_protocol(component: &[u8]) -> Result<Cow<'_, [u8]>, ComposeError> {
    if !exports(component, APP) {
        return Ok(component.into());
    }
    join(component)
        .map(Cow::Owned)
        .map_err(|error| ComposeError(format!("{error:#}")))
}

fn join(app: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut graph = CompositionGraph::new();
    let protocol = Package::from_bytes("wasocket:protocol", None, PROTOCOL, graph.types_mut())?;
    let protocol = graph.register_package(protocol)?;
    let app = Package::from_bytes("wasocket:app", None, app, graph.types_mut())?;
    let app = graph.register_package(app)?;
    plug(&mut graph, vec![app], protocol)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

/// Whether a component exports this name, as far as the outermost sections say (component model,
/// `Binary.md`): quick, where reading all of a large component is not.
fn exports(component: &[u8], name: &str) -> bool {
    const EXPORTS: u8 = 11;
    let mut rest = component.get(8..).unwrap_or_default();
    while let Some((id, contents, behind)) = section(rest) {
        if id == EXPORTS
            && contents
                .windows(name.len())
                .any(|part| part == name.as_bytes())
        {
            return true;
        }
        rest = behind;
    }
    false
}

/// The first section: its number, what it holds, and what is behind it.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&id, rest) = bytes.split_first()?;
    let (size, rest) = leb128(rest)?;
    let (contents, behind) = rest.split_at_checked(size)?;
    Some((id, contents, behind))
}

/// A number of up to 32 bits, 7 of them in each byte, the least significant first.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let len = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at_checked(len)?;
    let number = number
        .iter()
        .rev()
        .fold(0, |high, byte| high << 7 | u64::from(byte & 0x7f));
    Some((usize::try_from(number).ok()?, rest))
}

/// Why an app cannot be joined with the protocol.
#[derive(Clone, Debug)]
pub struct ComposeError(String);

impl fmt::Display for ComposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ComposeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_app::DEFAULT_APP;

    #[test]
    fn what_is_no_app_stays_as_it_is() {
        for other in [
            &b""[..],
            b"\0asm\x0d\0\x01\0",
            b"\0asm\x0d\0\x01\0\x0b\xff",
            DEFAULT_APP,
        ] {
            assert!(matches!(with_protocol(other), Ok(Cow::Borrowed(same)) if same == other));
        }
    }

    #[test]
    fn the_protocol_imports_an_app_and_exports_a_handler() {
        assert!(!exports(PROTOCOL, APP));
        assert!(exports(PROTOCOL, crate::bindings::HANDLER));
    }

    #[test]
    fn numbers_of_sections() {
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, &[7][..])));
        assert_eq!(leb128(&[0x80]), None);
        assert_eq!(leb128(&[0x80; 9]), None);
    }

    #[test]
    fn a_broken_app_is_refused_with_a_reason() {
        let export = [&[11, 30][..], &[0; 1], APP.as_bytes(), &[0; 1]].concat();
        let broken = [&b"\0asm\x0d\0\x01\0"[..], &export].concat();
        assert!(with_protocol(&broken).is_err());
    }
}
