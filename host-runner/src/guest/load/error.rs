//! Why a component cannot be loaded.

use std::fmt;
use std::io;

use crate::contract::bindings::{CLIENT, HANDLER};
use crate::guest::compose::{APP, ComposeError};
use crate::guest::load::world::World;

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
