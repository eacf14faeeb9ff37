//! The servers to compare: what each is, what it needs, and how it is started as an echo and as a room.

use std::process::{Command, Stdio};

use crate::Result;
use crate::rooms::Protocol;
use crate::servers::{Cores, Places, Server, component, go, node, peer, serve, spawn};

/// The reference, with which all others are compared.
pub const REFERENCE: &str = "wasocket";

/// The protocol's default limit.
const MIB: usize = 1 << 20;

/// The limit of servers that have none of that order by default, or were given this one.
const MAX_MESSAGE: usize = 16 << 20;

/// Makes the command that starts a server.
type Program = fn(&Places) -> Result<Command>;

/// A kind of server.
pub struct Kind {
    /// Its name in options and tables.
    pub name: &'static str,
    /// As an echo, if it is one.
    pub echo: Option<Echo>,
    /// As a room, if it is one.
    pub room: Option<Room>,
    version: fn(&Places) -> Option<String>,
}

/// An echo.
pub struct Echo {
    /// Its description.
    pub what: &'static str,
    /// Whether it supports permessage-deflate.
    pub deflates: bool,
    /// The longest message that it accepts, in bytes.
    pub max_message: usize,
    program: Program,
}

/// A room: what a member sends goes to all.
pub struct Room {
    /// Its description.
    pub what: &'static str,
    /// Whether it supports permessage-deflate.
    pub deflates: bool,
    /// What its members speak.
    pub protocol: Protocol,
    program: Program,
}

/// All kinds, in the order of the tables.
pub const KINDS: &[Kind] = &[
    Kind {
        name: REFERENCE,
        echo: Some(Echo {
            what: "`wasocket serve`, the embedded echo: app and protocol in one component",
            deflates: true,
            max_message: MIB,
            program: |places| Ok(serve(places, &[])),
        }),
        room: Some(Room {
            what: "`wasocket serve`, an app of the event form that publishes to a topic",
            deflates: true,
            protocol: Protocol::Plain,
            program: |places| room(places, &[]),
        }),
        version: |_| None,
    },
    Kind {
        name: "composed",
        echo: Some(Echo {
            what: "`wasocket serve`, the event-form echo: app and protocol composed from two components",
            deflates: false,
            max_message: MIB,
            program: |places| component(places, "portable_echo.wasm", &[]),
        }),
        room: None,
        version: |_| None,
    },
    Kind {
        name: "native",
        echo: Some(Echo {
            what: "the same protocol crate without WebAssembly, reading and writing as the runner does",
            deflates: true,
            max_message: MAX_MESSAGE,
            program: |places| peer(places, "native"),
        }),
        room: None,
        version: |_| None,
    },
    Kind {
        name: "tungstenite",
        echo: Some(Echo {
            what: "tokio-tungstenite, one thread, with a read buffer of 16 KiB",
            deflates: false,
            max_message: MAX_MESSAGE,
            program: |places| peer(places, "tungstenite"),
        }),
        room: None,
        version: |_| locked("tokio-tungstenite"),
    },
    Kind {
        name: "fastwebsockets",
        echo: Some(Echo {
            what: "fastwebsockets on hyper, one thread",
            deflates: false,
            max_message: MAX_MESSAGE,
            program: |places| peer(places, "fastwebsockets"),
        }),
        room: None,
        version: |_| locked("fastwebsockets"),
    },
    Kind {
        name: "gorilla",
        echo: Some(Echo {
            what: "gorilla/websocket, `GOMAXPROCS=1`",
            deflates: true,
            max_message: MAX_MESSAGE,
            program: |places| go(places, "gorilla"),
        }),
        room: Some(Room {
            what: "the hub of gorilla/websocket's chat example, `GOMAXPROCS=1`",
            deflates: true,
            protocol: Protocol::Plain,
            program: |places| go(places, "hub"),
        }),
        version: |_| debian("golang-github-gorilla-websocket-dev"),
    },
    Kind {
        name: "xnet",
        echo: Some(Echo {
            what: "golang.org/x/net/websocket, `GOMAXPROCS=1`",
            deflates: false,
            max_message: MAX_MESSAGE,
            program: |places| go(places, "xnet"),
        }),
        room: None,
        version: |_| debian("golang-golang-x-net-dev"),
    },
    Kind {
        name: "ws",
        echo: Some(Echo {
            what: "npm's ws on Node.js",
            deflates: true,
            max_message: MAX_MESSAGE,
            program: |places| node(places, "tests/peers/ws", "benches/peers/ws/server.mjs", &[]),
        }),
        room: Some(Room {
            what: "npm's ws on Node.js, with a loop over all members",
            deflates: true,
            protocol: Protocol::Plain,
            program: |places| node_room(places, "ws"),
        }),
        version: |places| npm(places, "ws"),
    },
    Kind {
        name: "socket.io",
        echo: None,
        room: Some(Room {
            what: "Socket.IO on Node.js: `io.to(room).emit`, over WebSockets only",
            deflates: false,
            protocol: Protocol::SocketIo,
            program: |places| node_room(places, "socket.io"),
        }),
        version: |places| npm(places, "socket.io"),
    },
    Kind {
        name: "crossws",
        echo: None,
        room: Some(Room {
            what: "crossws on Node.js: `peer.publish`",
            deflates: false,
            protocol: Protocol::Plain,
            program: |places| node_room(places, "crossws"),
        }),
        version: |places| npm(places, "crossws"),
    },
    Kind {
        name: "floor",
        echo: Some(Echo {
            what: "a bare epoll loop that unmasks and echoes, and checks next to nothing",
            deflates: false,
            max_message: MAX_MESSAGE,
            program: |places| peer(places, "floor"),
        }),
        room: Some(Room {
            what: "a bare epoll loop that writes the same bytes to every socket",
            deflates: false,
            protocol: Protocol::Plain,
            program: |places| peer(places, "room"),
        }),
        version: |_| None,
    },
];

/// An echo that accepts longer messages than the embedded one.
pub const BIG: Kind = Kind {
    name: REFERENCE,
    echo: Some(Echo {
        what: "`wasocket serve`, an echo for messages of up to 16 MiB",
        deflates: false,
        max_message: MAX_MESSAGE,
        program: |places| {
            let options = ["--memory", "1024", "--call-timeout", "10000"];
            component(places, "wasocket_bench_echo.wasm", &options)
        },
    }),
    room: None,
    version: |_| None,
};

impl Kind {
    /// Its descriptions: as an echo, and as a room.
    pub fn what(&self) -> String {
        let echo = self.echo.as_ref().map(|echo| echo.what.to_owned());
        let room = self
            .room
            .as_ref()
            .map(|room| format!("room: {}", room.what));
        let both: Vec<_> = [echo, room].into_iter().flatten().collect();
        both.join("; ")
    }

    /// The version of a server that is not part of Wasocket.
    pub fn version(&self, places: &Places) -> Option<String> {
        (self.version)(places)
    }

    /// Starts the echo on a core of its own; `None` if it is none.
    ///
    /// # Errors
    ///
    /// When something is missing; the error names it, and how to install it.
    pub fn start_echo(&self, places: &Places, cores: Cores) -> Result<Option<Server>> {
        let start = |echo: &Echo| spawn((echo.program)(places)?, cores);
        self.echo.as_ref().map(start).transpose()
    }

    /// Starts the room on a core of its own.
    ///
    /// # Errors
    ///
    /// As above, or when it is none.
    pub fn start_room(&self, places: &Places, cores: Cores) -> Result<Server> {
        let room = self.room.as_ref().ok_or("it is no room")?;
        spawn((room.program)(places)?, cores)
    }
}

/// The bench's room under `wasocket serve` with these options.
///
/// # Errors
///
/// When it is not built.
pub fn room(places: &Places, options: &[&str]) -> Result<Command> {
    // Connections to one instance: topics do not reach others yet.
    let one = ["--connections-per-instance", "30000", "--memory", "1024"];
    component(
        places,
        "wasocket_bench_room.wasm",
        &[&one, options].concat(),
    )
}

fn node_room(places: &Places, name: &str) -> Result<Command> {
    let folder = "benches/peers/rooms";
    node(places, folder, &format!("{folder}/server.mjs"), &[name])
}

/// The version of a package of npm that is installed for the rooms.
fn npm(places: &Places, name: &str) -> Option<String> {
    let program = places.root.join("benches/peers/rooms/server.mjs");
    output(Command::new("node").arg(program).args([name, "--version"]))
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> Option<String> {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next().map(str::to_owned)
}

fn debian(package: &str) -> Option<String> {
    let arguments = ["--show", "--showformat=${Version}", package];
    let go = output(Command::new("go").args(["env", "GOVERSION"]))?;
    let version = output(Command::new("dpkg-query").args(arguments))?;
    Some(format!("{version} ({go})"))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
