//! The WIT package, and the imports and exports of the component.

use std::collections::BTreeSet;

use wasocket_host::default_app::DEFAULT_APP;
use wasocket_host::engine::engine;
use wit_component::WitPrinter;
use wit_parser::{PackageId, Resolve, SourceMap, WorldKey};

/// The package, as the reference parser reads it.
fn package() -> (Resolve, PackageId) {
    let mut sources = SourceMap::default();
    for (name, text) in [
        ("types.wit", include_str!("../../../wit/types.wit")),
        ("world.wit", include_str!("../../../wit/world.wit")),
        ("app.wit", include_str!("../../../wit/app.wit")),
        (
            "websocket-handler.wit",
            include_str!("../../../wit/websocket-handler.wit"),
        ),
        (
            "websocket-client.wit",
            include_str!("../../../wit/websocket-client.wit"),
        ),
    ] {
        sources.push_str(name, text);
    }
    let package = sources.parse().map_err(|(_, error)| error);
    let mut resolve = Resolve::default();
    let package = resolve
        .push_group(package.expect("wit/ is well-formed"))
        .expect("wit/ is valid");
    (resolve, package)
}

fn text(resolve: &Resolve, package: PackageId) -> String {
    let mut printer = WitPrinter::default();
    printer.print(resolve, package, &[]).expect("it prints");
    printer.output.to_string()
}

/// Published packages are encoded: what is read back is the same, comments and all.
#[test]
fn the_package_survives_its_encoding() {
    let (resolve, package) = package();
    let encoded = wit_component::encode(&resolve, package).expect("it encodes");
    let decoded = wit_component::decode(&encoded).expect("it decodes");
    let text = text(&resolve, package);
    assert!(text.contains("/// "), "{text}");
    assert_eq!(self::text(decoded.resolve(), decoded.package()), text);
}

/// Compares the world of the WIT package with the built component.
#[test]
fn the_component_imports_and_exports_what_its_world_lists() {
    let (resolve, package) = package();
    let world = resolve
        .select_world(&[package], Some("handler"))
        .expect("the world");
    let world = &resolve.worlds[world];
    let names = |items: &mut dyn Iterator<Item = &WorldKey>| -> BTreeSet<String> {
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
