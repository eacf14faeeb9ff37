//! The imports and exports of the component.

use std::collections::BTreeSet;

use wasocket_host::default_app::DEFAULT_APP;
use wasocket_host::engine::engine;

/// Compares the world of the WIT package, as the reference parser resolves it, with the built component.
#[test]
fn the_component_imports_and_exports_what_its_world_lists() {
    let mut sources = wit_parser::SourceMap::default();
    sources.push_str("types.wit", include_str!("../../../wit/types.wit"));
    sources.push_str("world.wit", include_str!("../../../wit/world.wit"));
    sources.push_str("app.wit", include_str!("../../../wit/app.wit"));
    let handler = include_str!("../../../wit/websocket-handler.wit");
    sources.push_str("websocket-handler.wit", handler);
    let client = include_str!("../../../wit/websocket-client.wit");
    sources.push_str("websocket-client.wit", client);
    let package = sources.parse().map_err(|(_, error)| error);
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve
        .push_group(package.expect("wit/ is well-formed"))
        .expect("wit/ is valid");
    let world = resolve
        .select_world(&[package], Some("handler"))
        .expect("the world");
    let world = &resolve.worlds[world];
    let names = |items: &mut dyn Iterator<Item = &wit_parser::WorldKey>| -> BTreeSet<String> {
        items.map(|key| resolve.name_world_key(key)).collect()
    };

    let engine = engine().expect("an engine");
    let component = wasmtime::component::Component::from_binary(&engine, DEFAULT_APP);
    let component = component.expect("a component");
    let component = component.component_type();
    let imports: BTreeSet<String> = component.imports(&engine).map(|(n, _)| n.into()).collect();
    let exports: BTreeSet<String> = component.exports(&engine).map(|(n, _)| n.into()).collect();
    assert_eq!(imports, names(&mut world.imports.keys()));
    assert_eq!(exports, names(&mut world.exports.keys()));
}
