//! Three tools in one small program: installed from the registry, each would take minutes to build.
//!
//! ```text
//! language-tools bind-c WIT WORLD FOLDER        as: wit-bindgen c WIT -w WORLD --out-dir FOLDER, with short names
//! language-tools componentize MODULE OUTPUT     as: wasm-tools component new MODULE -o OUTPUT
//! language-tools compose PROTOCOL APP OUTPUT    as: wac plug PROTOCOL --plug APP -o OUTPUT
//! ```

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PackageId, plug};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use wit_component::ComponentEncoder;

/// What the interfaces are called in C.
const NAMES: [(&str, &str); 2] = [
    ("wasocket:websocket/app@0.1.0", "websocket"),
    ("wasocket:websocket/types@0.1.0", "http"),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bind-c", wit, world, folder] => bind_c(wit, world, folder),
        ["componentize", module, output] => componentize(module, output),
        ["compose", protocol, app, output] => compose(protocol, app, output),
        _ => bail!(
            "bind-c WIT WORLD FOLDER, componentize MODULE OUTPUT, or compose PROTOCOL APP OUTPUT"
        ),
    }
}

fn componentize(module: &str, output: &str) -> Result<()> {
    let bytes = fs::read(module).context(module.to_owned())?;
    let component = ComponentEncoder::default().module(&bytes)?.encode()?;
    fs::write(output, component).context(output.to_owned())
}

fn compose(protocol: &str, app: &str, output: &str) -> Result<()> {
    let mut graph = CompositionGraph::new();
    let protocol = register(&mut graph, "wasocket:protocol", protocol)?;
    let app = register(&mut graph, "wasocket:app", app)?;
    plug(&mut graph, vec![app], protocol)?;
    fs::write(output, graph.encode(EncodeOptions::default())?).context(output.to_owned())
}

fn register(graph: &mut CompositionGraph, name: &str, file: &str) -> Result<PackageId> {
    let bytes = fs::read(file).context(file.to_owned())?;
    let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
    Ok(graph.register_package(package)?)
}

fn bind_c(wit: &str, world: &str, folder: &str) -> Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let options = wit_bindgen_c::Opts {
        rename: NAMES.map(|(from, to)| (from.into(), to.into())).into(),
        rename_world: Some("wasocket".into()),
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    fs::create_dir_all(folder)?;
    for (name, contents) in files.iter() {
        fs::write(Path::new(folder).join(name), contents)?;
    }
    Ok(())
}
