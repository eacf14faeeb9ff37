//! Four tools in one small program: each of them would take minutes to install from the registry.
//!
//! ```text
//! language-tools bind-c WIT WORLD FOLDER        like: wit-bindgen c WIT -w WORLD --out-dir FOLDER, with short names
//! language-tools embed WIT WORLD MODULE         like: wasm-tools component embed WIT -w WORLD MODULE -o MODULE
//! language-tools componentize MODULE OUTPUT     like: wasm-tools component new MODULE -o OUTPUT --adapt ..
//! language-tools compose PROTOCOL APP OUTPUT    like: wac plug PROTOCOL --plug APP -o OUTPUT
//! ```

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PackageId, plug};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// The names of the interfaces in C.
const NAMES: [(&str, &str); 2] = [
    ("wasocket:websocket/app@0.1.0", "websocket"),
    ("wasocket:websocket/types@0.1.0", "http"),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bind-c", wit, world, folder] => bind_c(wit, world, folder),
        ["embed", wit, world, module] => embed(wit, world, module),
        ["componentize", module, output] => componentize(module, output),
        ["compose", protocol, app, output] => compose(protocol, app, output),
        _ => bail!(
            "usage: bind-c WIT WORLD FOLDER, embed WIT WORLD MODULE, componentize MODULE OUTPUT, or compose PROTOCOL APP OUTPUT"
        ),
    }
}

fn embed(wit: &str, world: &str, module: &str) -> Result<()> {
    let (resolve, world) = select(wit, world)?;
    let mut bytes = fs::read(module).context(module.to_owned())?;
    embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)?;
    fs::write(module, bytes).context(module.to_owned())
}

/// The adapter is left out if the module calls no WASI function.
fn componentize(module: &str, output: &str) -> Result<()> {
    let bytes = fs::read(module).context(module.to_owned())?;
    let mut encoder = ComponentEncoder::default();
    encoder.module(&bytes)?.adapter(
        WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    )?;
    fs::write(output, encoder.encode()?).context(output.to_owned())
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
    let (mut resolve, world) = select(wit, world)?;
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

fn select(wit: &str, world: &str) -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    Ok((resolve, world))
}
