//! Targets that an app can be composed for.

/// Where an app will run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// A component for `wasocket serve`
    #[default]
    Handler,
    /// A complete server, for any WASI 0.2 runtime with sockets: `wasmtime run`, `jco run`
    Server,
    /// A component for wasi:http servers, behind a proxy that speaks GRIP: Pushpin, Fastly Fanout
    Grip,
    /// A folder for Node: behind your own HTTP server, or as a server
    Node,
    /// A folder for Cloudflare Workers: an app as a Durable Object
    Workers,
}

/// The adapters, `components/server` and `components/grip`, as `build.rs` built them.
const SERVER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/server.wasm"));
const GRIP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/grip.wasm"));

/// What a target is composed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A component that exports `websocket-handler`; an app is joined with the protocol.
    Handler,
    /// An app alone.
    App,
}

impl Target {
    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Server => "server",
            Self::Grip => "grip",
            Self::Node => "node",
            Self::Workers => "workers",
        }
    }

    /// Whether it needs an app without the protocol.
    pub fn takes_an_app(self) -> bool {
        self.takes() == Form::App
    }

    /// Whether it is a folder of JavaScript instead of a component.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::Node | Self::Workers)
    }

    pub(super) fn takes(self) -> Form {
        match self {
            Self::Handler | Self::Server | Self::Node => Form::Handler,
            Self::Grip | Self::Workers => Form::App,
        }
    }

    /// The component to join with.
    pub(super) fn adapter(self) -> Option<&'static [u8]> {
        match self {
            Self::Handler | Self::Node | Self::Workers => None,
            Self::Server => Some(SERVER),
            Self::Grip => Some(GRIP),
        }
    }

    /// Whether the target does not support components that import this.
    pub(super) fn refuses(self, import: &str) -> bool {
        match self {
            Self::Handler | Self::Grip => false,
            // The connection that awaits an answer would never be woken.
            Self::Server | Self::Node | Self::Workers => {
                import.starts_with("wasi:http/outgoing-handler@")
            }
        }
    }

    /// Whether the target does not support components that import this, unless they are apps: those cannot await
    /// anything, whatever their language imports.
    pub(super) fn refuses_of_handlers(self, import: &str) -> bool {
        match self {
            Self::Handler | Self::Grip => false,
            Self::Server | Self::Node | Self::Workers => {
                import.starts_with("wasi:sockets/tcp-create-socket@")
            }
        }
    }
}
