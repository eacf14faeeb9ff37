//! A component, read, compiled and checked: ready to be instantiated.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{self, InstancePre, Linker};

use crate::bindings::{CLIENT, ClientPre, HANDLER, HandlerPre};
use crate::cache::Cache;
use crate::compiled;
use crate::compose::{APP, ComposeError, PROTOCOL, with_protocol};
use crate::directory::Directory;
use crate::outgoing::Policy;
use crate::state::State;
use crate::wasi;

/// A component, from which [`Guest`](crate::guest::Guest)s or [`Client`](crate::client::Client)s are made.
#[derive(Clone)]
pub struct Component {
    pub(crate) instance_pre: InstancePre<State>,
    pub(crate) grants: Arc<Grants>,
}

/// What is granted to a component that asks for it.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Requests to HTTP backends. Without a policy, a component that imports them is refused.
    pub http: Option<Arc<Policy>>,
    /// The TCP servers that it may connect to; port 0 is any.
    pub tcp: Vec<SocketAddr>,
    /// Its environment: names and values.
    pub environment: Vec<(String, String)>,
    /// The directories that it may read in, and some of them write.
    pub directories: Vec<Directory>,
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

    /// Compiles a component and checks that it fits the world `handler`, or `application`: then it is
    /// joined with the protocol. Nothing is granted to it.
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
    /// Compiles them.
    pub engine: Engine,
    /// What is granted to them.
    pub grants: Grants,
    /// Where they are kept when they are compiled.
    pub cache: Option<Cache>,
    /// Whether files of `wasocket compile` are loaded, whose machine code is run as it is.
    pub allow_precompiled: bool,
}

impl Loader {
    /// Without grants, and without a cache.
    pub fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            grants: Grants::default(),
            cache: None,
            allow_precompiled: false,
        }
    }

    /// The component in a file, of the world `handler`: see [`Component::from_file`]. What `wasocket compile` has
    /// made is loaded if that is allowed.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn file(&self, path: &Path) -> Result<Component, LoadError> {
        let mut file = File::open(path).map_err(LoadError::Read)?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).map_err(LoadError::Read)?;
        if !compiled::is_compiled(&bytes) {
            return self.load(World::Handler, &bytes);
        }
        if !self.allow_precompiled {
            return Err(LoadError::Precompiled);
        }
        // Of the file that was read, whatever has that name now.
        let metadata = file.metadata().map_err(LoadError::Read)?;
        let component = compiled::unpack(&self.engine, &bytes, &metadata)?;
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

    /// Checks that a component fits a world, and needs nothing that it is not granted.
    fn fit(&self, world: World, component: &component::Component) -> Result<Component, LoadError> {
        let Self { engine, grants, .. } = self;
        check_exports(world, engine, component)?;
        let imports = imports(engine, component);
        if let Some(import) = imports.iter().find(|import| !wasi::provides(import)) {
            return Err(LoadError::Import(import.clone()));
        }
        if grants.http.is_none() && imports.iter().any(|import| wasi::is_http(import)) {
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

/// What a component is for: a world of `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// It answers requests.
    Handler,
    /// It speaks to a server.
    Client,
}

impl World {
    /// The interface that a component of this world exports.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            Self::Handler => HANDLER,
            Self::Client => CLIENT,
        }
    }

    /// Checks the types of the exports.
    fn check(self, pre: InstancePre<State>) -> wasmtime::Result<InstancePre<State>> {
        Ok(match self {
            Self::Handler => HandlerPre::new(pre)?.instance_pre().clone(),
            Self::Client => ClientPre::new(pre)?.instance_pre().clone(),
        })
    }
}

/// The first eight bytes say what follows: the magic number, a version, and a layer that tells core
/// modules and components apart (component model, `Binary.md`).
fn check_preamble(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(LoadError::CoreModule),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        _ => Err(LoadError::NotWasm),
    }
}

/// Nobody should wonder why nothing happens: the engine of a language takes many seconds.
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

/// The names of what must be linked: types alone need no implementation.
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
        wasi::link(&mut linker)?;
    }
    world.check(linker.instantiate_pre(component)?)
}

/// Why a file cannot be served.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is missing or cannot be read.
    Read(io::Error),
    /// The file holds something else than WebAssembly.
    NotWasm,
    /// The file is WebAssembly, but not a component.
    CoreModule,
    /// The component is damaged, or needs what this engine does not know.
    Invalid(wasmtime::Error),
    /// The component is an app that cannot be joined with the protocol.
    Compose(ComposeError),
    /// The component does not export the interface of the world; these are the names that it does export.
    OtherWorld(World, Vec<String>),
    /// The component imports something that the runner does not grant.
    Import(String),
    /// The component asks HTTP backends, and none is allowed.
    Http,
    /// The file is of `wasocket compile`, and such files are not allowed.
    Precompiled,
    /// The same, and others than this user and root could have written it.
    CodeOfOthers,
    /// The same, and it is not what was written.
    CodeDamaged,
    /// The same, of another version of this program, or for another machine.
    CodeOfOtherKind(wasmtime::Error),
    /// The names are right, but a function or a type behind them is not.
    Type(World, wasmtime::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "there is no such file")
            }
            Self::Read(error) => write!(f, "it cannot be read: {error}"),
            Self::NotWasm => write!(
                f,
                "it is not WebAssembly: name a component, built for wasm32-wasip2"
            ),
            Self::CoreModule => write!(
                f,
                "it is a core module, not a component: build it for wasm32-wasip2, or wrap it with \
                 `wasm-tools component new`"
            ),
            Self::Invalid(error) => write!(f, "it is not a valid component: {error:#}"),
            Self::Compose(error) => {
                write!(f, "it is an app that does not fit the protocol: {error}")
            }
            Self::OtherWorld(world, exports) => {
                let needed = match world {
                    World::Handler => format!("{HANDLER}, or {APP},"),
                    World::Client => CLIENT.to_owned(),
                };
                let exported = match exports.is_empty() {
                    true => "nothing".to_owned(),
                    false => exports.join(", "),
                };
                write!(f, "it exports {exported}, where {needed} is needed")
            }
            Self::Import(import) => write!(
                f,
                "it imports {import}, which this runner does not grant (it grants WASI 0.2, and \
                 no server's part of it)"
            ),
            Self::Http => write!(
                f,
                "it sends requests to HTTP servers: say to which with --allow-http HOST[:PORT], such as \
                 --allow-http api.example.com"
            ),
            Self::Precompiled => write!(
                f,
                "it is machine code, which is run as it is: if nobody but you could have made it, serve it with \
                 --allow-precompiled"
            ),
            Self::CodeOfOthers => write!(
                f,
                "it is machine code that somebody else could have written: it has to belong to this user, or to root, \
                 and must not be writable for others (chmod go-w)"
            ),
            Self::CodeDamaged => write!(f, "it is damaged: make it anew, with `wasocket compile`"),
            Self::CodeOfOtherKind(error) => write!(
                f,
                "it was compiled by another version of this program, or for another machine: make it anew, here, \
                 with `wasocket compile` ({error:#})"
            ),
            Self::Type(world, error) => {
                write!(f, "it does not fit {}: {error:#}", world.interface())
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Invalid(error) | Self::Type(_, error) | Self::CodeOfOtherKind(error) => {
                Some(error.as_ref())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preamble_tells_what_a_file_is() {
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
