//! The targets that an app can be joined for, and what each is made of.

/// Where an app is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// A component for `wasocket serve`
    #[default]
    Handler,
    /// A whole server, for any runtime of WASI 0.2 with sockets: `wasmtime run`, `jco run`
    Server,
    /// A component for servers of wasi:http, behind a proxy that speaks GRIP: Pushpin, Fastly Fanout
    Grip,
    /// A folder for Node: behind an HTTP server of your own, or as one
    Node,
    /// A folder for Cloudflare Workers: an app as a Durable Object
    Workers,
}

/// The adapters, `components/server` and `components/grip`, as `build.rs` built them.
const SERVER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/server.wasm"));
const GRIP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/grip.wasm"));

/// What a target is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A component that exports `websocket-handler`, or an app, which is joined with the protocol.
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

    /// Whether it needs the app alone, without the protocol.
    pub fn takes_an_app(self) -> bool {
        self.takes() == Form::App
    }

    /// Whether it is a folder of JavaScript, and no component.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::Node | Self::Workers)
    }

    pub(super) fn takes(self) -> Form {
        match self {
            Self::Handler | Self::Server | Self::Node => Form::Handler,
            Self::Grip | Self::Workers => Form::App,
        }
    }

    /// The component to which it is joined.
    pub(super) fn adapter(self) -> Option<&'static [u8]> {
        match self {
            Self::Handler | Self::Node | Self::Workers => None,
            Self::Server => Some(SERVER),
            Self::Grip => Some(GRIP),
        }
    }

    /// Whether the target has no use for a component that imports this.
    pub(super) fn refuses(self, import: &str) -> bool {
        match self {
            Self::Handler | Self::Grip => false,
            // Nobody would wake the connection that awaits an answer.
            Self::Server | Self::Node | Self::Workers => {
                import.starts_with("wasi:http/outgoing-handler@")
            }
        }
    }

    /// Whether the target has no use for a component that imports this, and is no app: that one cannot
    /// await anything, whatever its language imports.
    pub(super) fn refuses_of_handlers(self, import: &str) -> bool {
        match self {
            Self::Handler | Self::Grip => false,
            Self::Server | Self::Node | Self::Workers => {
                import.starts_with("wasi:sockets/tcp-create-socket@")
            }
        }
    }
}
