//! Errors of loading a component.

use std::fmt;
use std::io;

use crate::contract::bindings::{CLIENT, HANDLER};
use crate::guest::compose::{APP, ComposeError};
use crate::guest::load::world::World;

/// Why a component cannot be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is missing or cannot be read.
    Read(io::Error),
    /// The file is not WebAssembly.
    NotWasm,
    /// The file is WebAssembly, but not a component.
    CoreModule,
    /// The component is damaged, or needs a feature that this engine does not have.
    Invalid(wasmtime::Error),
    /// The component is an app that cannot be joined with the protocol.
    Compose(ComposeError),
    /// The component does not export the world's interface, but these.
    OtherWorld(World, Vec<String>),
    /// The component imports something that the runner does not grant.
    Import(String),
    /// The component sends requests to HTTP backends, and none is allowed.
    Http,
    /// The file is one of `wasocket compile`, and those are not allowed.
    Precompiled,
    /// A file of `wasocket compile` that others than this user and root could have written.
    CodeOfOthers,
    /// A file of `wasocket compile` that is damaged.
    CodeDamaged,
    /// A file of another version of `wasocket compile`, or for another machine.
    CodeOfOtherKind(wasmtime::Error),
    /// The exports have the right names, but a function or a type does not match.
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
                let exported = if exports.is_empty() {
                    "nothing".to_owned()
                } else {
                    exports.join(", ")
                };
                write!(f, "it exports {exported}, where {needed} is needed")
            }
            Self::Import(import) => write!(
                f,
                "it imports {import}, which this runner does not grant (it grants WASI 0.2, without the interfaces \
                 of a server)"
            ),
            Self::Http => write!(
                f,
                "it sends requests to HTTP servers: allow them with --allow-http HOST[:PORT], such as \
                 --allow-http api.example.com"
            ),
            Self::Precompiled => write!(
                f,
                "it is machine code, which runs unchecked: if only you could have written it, serve it with \
                 --allow-precompiled"
            ),
            Self::CodeOfOthers => write!(
                f,
                "it is machine code that someone else could have written: it must belong to this user or to root, \
                 and others must not be able to write it (chmod go-w)"
            ),
            Self::CodeDamaged => write!(f, "it is damaged: run `wasocket compile` again"),
            Self::CodeOfOtherKind(error) => write!(
                f,
                "it was compiled by another version of wasocket, or for another machine: run `wasocket compile` \
                 again, on this machine ({error:#})"
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
