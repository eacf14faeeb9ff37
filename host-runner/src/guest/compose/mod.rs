//! Composition of components, the way `wac plug` composes files.
//!
//! An app that exports `app`, in any language, is joined with the protocol component, which is embedded here. The result
//! exports `websocket-handler`, which the runner serves. Other places need other adapters, to which the same component
//! is joined: see [`Target`].

mod error;
pub mod sections;
mod target;

pub use error::ComposeError;
pub use target::Target;

use std::borrow::Cow;

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};

use sections::exports;
use target::Form;

use crate::contract::bindings::HANDLER;

/// The protocol component: `components/protocol`, as `build.rs` built it.
pub(crate) const PROTOCOL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/protocol.wasm"));

/// The interface that an app exports.
pub(crate) const APP: &str = "wasocket:websocket/app@0.1.0";

/// The component for a target; unchanged if nothing has to be joined.
///
/// # Errors
///
/// See [`ComposeError`].
pub fn compose(component: &[u8], target: Target) -> Result<Cow<'_, [u8]>, ComposeError> {
    let joined = match target.takes() {
        Form::Handler => with_protocol(component)?,
        Form::App => component.into(),
    };
    check(&joined, target, exports(component, APP))?;
    match target.adapter() {
        Some(adapter) => join(&joined, adapter).map(Cow::Owned),
        None => Ok(joined),
    }
}

/// Joins an app with the protocol; any other component is returned unchanged.
///
/// # Errors
///
/// If the app cannot be joined.
pub fn with_protocol(component: &[u8]) -> Result<Cow<'_, [u8]>, ComposeError> {
    if exports(component, APP) {
        join(component, PROTOCOL).map(Cow::Owned)
    } else {
        Ok(component.into())
    }
}

/// Checks that a component has what a target needs, and imports nothing that the target does not provide.
fn check(component: &[u8], target: Target, is_app: bool) -> Result<(), ComposeError> {
    let is_there = |name| exports(component, name);
    match target.takes() {
        Form::Handler if !is_there(HANDLER) => return Err(ComposeError::NeitherForm),
        Form::App if is_there(HANDLER) => return Err(ComposeError::NeedsEvents(target)),
        Form::App if !is_there(APP) => return Err(ComposeError::NeitherForm),
        _ => {}
    }
    let refused = imports(component)?
        .into_iter()
        .find(|import| target.refuses(import) || !is_app && target.refuses_of_handlers(import));
    match refused {
        Some(import) => Err(ComposeError::Import(target, import)),
        None => Ok(()),
    }
}

/// The names of a component's imports.
fn imports(component: &[u8]) -> Result<Vec<String>, ComposeError> {
    let mut graph = CompositionGraph::new();
    let types = graph.types_mut();
    let package = Package::from_bytes("wasocket:app", None, component, types)
        .map_err(|error| ComposeError::Invalid(format!("{error:#}")))?;
    Ok(types[package.ty()].imports.keys().cloned().collect())
}

/// Connects the exports of `plug` to the imports of `socket`; all other imports and exports become the result's.
fn join(plug: &[u8], socket: &[u8]) -> Result<Vec<u8>, ComposeError> {
    try_join(plug, socket).map_err(|error| ComposeError::Invalid(format!("{error:#}")))
}

fn try_join(component: &[u8], socket: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut graph = CompositionGraph::new();
    let socket = Package::from_bytes("wasocket:adapter", None, socket, graph.types_mut())?;
    let socket = graph.register_package(socket)?;
    let component = Package::from_bytes("wasocket:app", None, component, graph.types_mut())?;
    let component = graph.register_package(component)?;
    plug(&mut graph, vec![component], socket)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::default_app::DEFAULT_APP;

    #[test]
    fn other_components_stay_unchanged() {
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
        assert!(exports(PROTOCOL, HANDLER));
    }

    #[test]
    fn a_broken_app_is_refused_with_a_reason() {
        let export = [&[11, 30][..], &[0; 1], APP.as_bytes(), &[0; 1]].concat();
        let broken = [&b"\0asm\x0d\0\x01\0"[..], &export].concat();
        assert!(with_protocol(&broken).is_err());
    }

    #[test]
    fn neither_app_nor_handler_is_refused() {
        let nothing = b"\0asm\x0d\0\x01\0";
        assert!(matches!(
            compose(nothing, Target::Handler),
            Err(ComposeError::NeitherForm)
        ));
        assert!(matches!(
            compose(DEFAULT_APP, Target::Handler),
            Ok(Cow::Borrowed(_))
        ));
    }
}
