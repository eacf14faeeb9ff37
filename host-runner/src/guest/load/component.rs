//! A component, compiled and checked, ready to be instantiated.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{self, InstancePre, Linker};

use crate::guest::compose::{PROTOCOL, with_protocol};
use crate::guest::load::cache::Cache;
use crate::guest::load::error::LoadError;
use crate::guest::load::machine_code;
use crate::guest::load::precompiled;
use crate::guest::load::world::World;
use crate::guest::wasi::Grants;
use crate::guest::wasi::link;
use crate::guest::wasi::state::State;

/// A component, to make [`Guest`](crate::guest::handler::Guest)s or [`Client`](crate::guest::client::Client)s of.
#[derive(Clone)]
pub struct Component {
    pub(crate) instance_pre: InstancePre<State>,
    pub(crate) grants: Arc<Grants>,
}

impl Component {
    /// Reads and compiles the component in a file, and checks that it fits the world `handler`.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn from_file(engine: &Engine, path: &Path, grants: &Grants) -> Result<Self, LoadError> {
        let loader = Loader {
            grants: grants.clone(),
            ..Loader::new(engine)
        };
        loader.file(path)
    }

    /// Compiles a component and checks that it fits the world `handler`; one of the world `application` is joined with
    /// the protocol first. Nothing is granted to it.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Self, LoadError> {
        Self::of_world(World::Handler, engine, bytes)
    }

    /// Compiles a component and checks that it fits a world. Nothing is granted to it.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn of_world(world: World, engine: &Engine, bytes: &[u8]) -> Result<Self, LoadError> {
        Loader::new(engine).load(world, bytes)
    }
}

/// How components are loaded.
#[derive(Clone)]
pub struct Loader {
    /// The engine to compile them with.
    pub engine: Engine,
    /// What they are granted.
    pub grants: Grants,
    /// The cache of compiled components, if any.
    pub cache: Option<Cache>,
    /// Whether to load files of `wasocket compile`, which contain machine code that runs unchecked.
    pub allow_precompiled: bool,
}

impl Loader {
    /// A loader without grants and cache.
    pub fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            grants: Grants::default(),
            cache: None,
            allow_precompiled: false,
        }
    }

    /// The component in a file, of the world `handler`: see [`Component::from_file`]. Files of `wasocket compile` are
    /// loaded if allowed.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn file(&self, path: &Path) -> Result<Component, LoadError> {
        let mut file = File::open(path).map_err(LoadError::Read)?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).map_err(LoadError::Read)?;
        if !machine_code::is_packed(&bytes) {
            return self.load(World::Handler, &bytes);
        }
        if !self.allow_precompiled {
            return Err(LoadError::Precompiled);
        }
        // From the opened file, as its name may belong to another file by now.
        let metadata = file.metadata().map_err(LoadError::Read)?;
        let component = precompiled::unpack(&self.engine, &bytes, &metadata)?;
        self.fit(World::Handler, &component)
    }

    /// A component of a world.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load(&self, world: World, bytes: &[u8]) -> Result<Component, LoadError> {
        let engine = &self.engine;
        check_preamble(bytes)?;
        let compile = || {
            announce(bytes.len());
            compile(engine, bytes)
        };
        let component = match &self.cache {
            Some(cache) => cache.take_or(engine, &[bytes, PROTOCOL], compile)?,
            None => compile()?,
        };
        self.fit(world, &component)
    }

    /// Checks that a component fits a world and needs nothing that it is not granted.
    fn fit(&self, world: World, component: &component::Component) -> Result<Component, LoadError> {
        let Self { engine, grants, .. } = self;
        check_exports(world, engine, component)?;
        let imports = imports(engine, component);
        if let Some(import) = imports.iter().find(|import| !link::provides(import)) {
            return Err(LoadError::Import(import.clone()));
        }
        if grants.http.is_none() && imports.iter().any(|import| link::is_http(import)) {
            return Err(LoadError::Http);
        }
        let imports_wasi = !imports.is_empty();
        Ok(Component {
            instance_pre: link(world, component, imports_wasi)
                .map_err(|error| LoadError::Type(world, error))?,
            grants: Arc::new(grants.clone()),
        })
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("grants", &self.grants)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component").finish_non_exhaustive()
    }
}

/// The first eight bytes of a file are the magic number, a version, and a layer that tells core modules from components
/// (component model, `Binary.md`).
fn check_preamble(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(LoadError::CoreModule),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        _ => Err(LoadError::NotWasm),
    }
}

/// Explains the delay: the engine of a language takes many seconds to compile.
fn announce(size: usize) {
    const MEGABYTE: usize = 1_000_000;
    if size >= MEGABYTE {
        let size = size / MEGABYTE;
        tracing::info!("compiling {size} MB, which may take a while");
    }
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<component::Component, LoadError> {
    let bytes = with_protocol(bytes).map_err(LoadError::Compose)?;
    component::Component::from_binary(engine, &bytes).map_err(LoadError::Invalid)
}

fn check_exports(
    world: World,
    engine: &Engine,
    component: &component::Component,
) -> Result<(), LoadError> {
    if component
        .get_export_index(None, world.interface())
        .is_some()
    {
        return Ok(());
    }
    let names = component.component_type();
    let names = names.exports(engine).map(|(name, _)| name.to_owned());
    Err(LoadError::OtherWorld(world, names.collect()))
}

/// The names of the imports that must be linked. Types alone need no implementation.
fn imports(engine: &Engine, component: &component::Component) -> Vec<String> {
    component
        .component_type()
        .imports(engine)
        .filter(|(_, import)| needs_implementation(engine, &import.ty))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn needs_implementation(engine: &Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::Type(_) => false,
        ComponentItem::ComponentInstance(instance) => instance
            .exports(engine)
            .any(|(_, export)| needs_implementation(engine, &export.ty)),
        _ => true,
    }
}

fn link(
    world: World,
    component: &component::Component,
    imports_wasi: bool,
) -> wasmtime::Result<InstancePre<State>> {
    let mut linker = Linker::new(component.engine());
    if imports_wasi {
        link::link(&mut linker)?;
    }
    world.check(linker.instantiate_pre(component)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preamble_identifies_a_file() {
        assert!(matches!(check_preamble(b""), Err(LoadError::NotWasm)));
        assert!(matches!(
            check_preamble(b"#!/bin/sh"),
            Err(LoadError::NotWasm)
        ));
        let module = b"\0asm\x01\0\0\0";
        assert!(matches!(check_preamble(module), Err(LoadError::CoreModule)));
        assert!(check_preamble(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
