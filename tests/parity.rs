//! One table of behaviours for the apps in every language (`languages/`, `examples/portable-*`), which the
//! running binary joins with the protocol, and for the same in Rust, fused with it.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod runner;

use std::process::Command;
use std::sync::Once;

use runner::{Client, Head, Server, opening_handshake, root};

/// A row: what is to be the case, and how it is found out on a server of its own kind of app.
type Behaviour = (&'static str, fn(&Server));

const ECHO: &[Behaviour] = &[
    ("the subprotocol is selected if it is offered", |server| {
        let (_, head) = server.open("/", "Sec-WebSocket-Protocol: superchat, echo\r\n");
        assert_eq!(
            head.field("Sec-WebSocket-Protocol").as_deref(),
            Some("echo")
        );
        let (_, head) = server.open("/", "Sec-WebSocket-Protocol: superchat\r\n");
        assert_eq!(
            (head.status, head.field("Sec-WebSocket-Protocol")),
            (101, None)
        );
    }),
    ("pages of another origin may not connect", |server| {
        let (_, head) = server.open("/", "Origin: https://b.test\r\n");
        assert_eq!(head.status, 403);
        let (_, head) = server.open("/", "Origin: http://a.test\r\n");
        assert_eq!(head.status, 101);
    }),
    (
        "a request that is not answered is answered with 404",
        |server| {
            let (head, _) = server.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            assert_eq!(head.status, 404);
        },
    ),
    ("messages come back as they are", |server| {
        let mut client = server.websocket("/");
        let long = "x".repeat(1 << 20);
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        for text in ["hello", "", "κόσμε \u{10ffff} \0", &long] {
            client.send_frame(TEXT, text.as_bytes());
            client.assert_frame(TEXT, text.as_bytes());
        }
        for bytes in [&b"\xff\0"[..], b"", &bytes] {
            client.send_frame(BINARY, bytes);
            client.assert_frame(BINARY, bytes);
        }
    }),
    ("many messages at once come back in order", |server| {
        let mut client = server.websocket("/");
        let numbers: Vec<String> = (0..1000).map(|number: u32| number.to_string()).collect();
        let frames: Vec<u8> = numbers
            .iter()
            .flat_map(|number| frame(TEXT, number.as_bytes()))
            .collect();
        client.send(&frames);
        for number in &numbers {
            client.assert_frame(TEXT, number.as_bytes());
        }
    }),
    ("a message that is too long closes with 1009", |server| {
        let mut client = server.websocket("/");
        client.send_frame(BINARY, &[0; (1 << 20) + 1]);
        assert_eq!(client.read_close().0, 1009);
    }),
    ("the client's close is answered", |server| {
        for payload in [&b"\x0f\xa1bye"[..], b""] {
            let mut client = server.websocket("/");
            client.send_frame(CLOSE, payload);
            client.assert_frame(CLOSE, &payload[..payload.len().min(2)]);
            assert_eq!(client.read_to_end(), b"");
        }
    }),
];

const CHAT: &[Behaviour] = &[
    ("plain requests are answered", |server| {
        let (head, body) = server.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(
            (head.status, &*body),
            (200, "Connect to /rooms/ROOM?NAME\n")
        );
        let (head, _) = server.request("GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(head.status, 404);
    }),
    ("a WebSocket is refused with status and body", |server| {
        let (mut client, head) = server.open("/rooms/blue", "");
        assert_eq!(head.status, 400);
        let body = client.read_body(&head);
        assert_eq!(body, "Who are you? /rooms/ROOM?NAME\n");
        let (_, head) = server.open("/other", "");
        assert_eq!(head.status, 404);
    }),
    ("state is kept, and lost with the connection", |server| {
        let mut ann = server.join("kept", "ann");
        ann.say("a");
        ann.assert_hears("ann (1): a");
        ann.say("b");
        ann.assert_hears("ann (2): b");
        drop(ann);
        let mut ann = server.join("kept", "ann");
        ann.say("c");
        ann.assert_hears("ann (1): c");
    }),
    (
        "what is published reaches the channel, and no other",
        |server| {
            let mut ann = server.join("blue", "ann");
            let mut eve = server.join("red", "eve");
            let mut bob = server.join("blue", "bob");
            ann.assert_hears("bob joined");
            bob.say("hi");
            ann.assert_hears("bob (1): hi");
            bob.assert_hears("bob (1): hi");
            eve.say("red");
            eve.assert_hears("eve (1): red");
        },
    ),
    ("the app closes with a code and a reason", |server| {
        let mut ann = server.join("bye", "ann");
        let mut bob = server.join("bye", "bob");
        ann.assert_hears("bob joined");
        bob.say("/bye");
        assert_eq!(bob.read_close(), (1000, "bye".into()));
        bob.send_frame(CLOSE, b"\x03\xe8");
        ann.assert_hears("bob left (1000)");
        ann.send_frame(BINARY, b"");
        assert_eq!(ann.read_close(), (1003, "text only".into()));
    }),
    ("the app is told how a connection ended", |server| {
        let mut ann = server.join("ends", "ann");
        for (payload, line) in [
            (Some(&b"\x0f\xa2"[..]), "bob left (4002)"),
            (Some(b""), "bob left (1005)"),
            (None, "bob left (1006)"),
        ] {
            let mut bob = server.join("ends", "bob");
            ann.assert_hears("bob joined");
            if let Some(payload) = payload {
                bob.send_frame(CLOSE, payload);
            }
            drop(bob);
            ann.assert_hears(line);
        }
    }),
    ("an answer that is too much closes with 1011", |server| {
        let mut ann = server.join("flood", "ann");
        let mut bob = server.join("flood", "bob");
        ann.assert_hears("bob joined");
        bob.say("/flood");
        assert_eq!(bob.read_close(), (1011, String::new()));
        ann.assert_hears("bob left (1011)");
        ann.say("still here");
        ann.assert_hears("ann (1): still here");
    }),
    (
        "a room with a bad name costs nobody else anything",
        |server| {
            let mut ann = server.join("good", "ann");
            let too_long = "x".repeat(200);
            for room in [&*too_long, ""] {
                let (mut client, _) = server.open(&format!("/rooms/{room}?bob"), "");
                client.try_send(&frame(CLOSE, b""));
                client.read_to_end();
            }
            ann.say("still here");
            ann.assert_hears("ann (1): still here");
        },
    ),
    (
        "an exception closes all of the instance with 1011",
        |server| {
            let mut ann = server.join("crash", "ann");
            let mut bob = server.join("crash", "bob");
            ann.assert_hears("bob joined");
            bob.say("/crash");
            assert_eq!(bob.read_close(), (1011, String::new()));
            assert_eq!(ann.read_close(), (1011, String::new()));
            let mut ann = server.join("crash", "ann");
            ann.say("again");
            ann.assert_hears("ann (1): again");
        },
    ),
];

/// An app in one language, and what of it the log shows when it crashes.
fn check(language: &str, crash: &[&str]) {
    build();
    let echo = serve(language, "echo");
    run(language, ECHO, &echo);
    let chat = serve(language, "chat");
    run(language, CHAT, &chat);
    for part in crash {
        chat.wait_for_log(part);
    }
}

fn run(language: &str, table: &[Behaviour], server: &Server) {
    for (name, behaviour) in table {
        println!("{language}: {name}");
        behaviour(server);
    }
}

/// Does nothing where all is built.
fn build() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let script = root().join("languages/build.sh");
        let status = Command::new(script).status().expect("the script runs");
        assert!(status.success(), "the apps do not build; `make setup`?");
    });
}

fn serve(language: &str, app: &str) -> Server {
    let component = root().join(format!("target/languages/{language}-{app}.wasm"));
    // JavaScript's engine takes some 100 ns for each character of a text.
    Server::of(&component, &["--call-timeout", "1000"])
}

#[test]
fn rust_fused() {
    check("fused", &["portable_chat::Chat"]);
}

#[test]
fn rust_composed() {
    check("rust", &["portable_chat::Chat", "ImportedApp"]);
}

#[test]
fn composed_by_hand() {
    build();
    run("composed", ECHO, &serve("composed", "echo"));
}

#[test]
fn c() {
    check("c", &["languages/c/chat.c", "ImportedApp"]);
}

#[test]
fn javascript() {
    check(
        "javascript",
        &["the chat crashed", "hear@chat.js", "ImportedApp"],
    );
}

#[test]
fn python() {
    check(
        "python",
        &["RuntimeError: the chat crashed", "chat.py", "ImportedApp"],
    );
}

/// `types` has no functions.
#[test]
fn the_protocol_imports_nothing_but_the_app() {
    build();
    let engine = wasocket_host::engine::engine().expect("an engine");
    let file = root().join("target/languages/protocol.wasm");
    let component = wasmtime::component::Component::from_file(&engine, file).expect("a component");
    let component = component.component_type();
    let imports: Vec<&str> = component.imports(&engine).map(|(name, _)| name).collect();
    let exports: Vec<&str> = component.exports(&engine).map(|(name, _)| name).collect();
    let app = "wasocket:websocket/app@0.1.0";
    assert_eq!(imports, ["wasocket:websocket/types@0.1.0", app]);
    assert_eq!(exports, [wasocket_host::bindings::HANDLER]);
}

// Opcodes of RFC 6455 §5.2.
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// A masked frame; the masking key is zero.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

impl Server {
    /// An opening handshake with further fields, however it is answered.
    fn open(&self, path: &str, fields: &str) -> (Client, Head) {
        let mut handshake = opening_handshake(path);
        handshake.truncate(handshake.len() - 2);
        handshake.extend(fields.as_bytes());
        handshake.extend(b"\r\n");
        let mut client = self.connect();
        client.send(&handshake);
        let head = client.read_head();
        (client, head)
    }

    /// A member of a room, who has heard that they are.
    fn join(&self, room: &str, name: &str) -> Client {
        let mut client = self.websocket(&format!("/rooms/{room}?{name}"));
        client.assert_hears(&format!("{name} joined"));
        client
    }
}

impl Client {
    fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.try_send(&frame(opcode, payload));
    }

    fn say(&mut self, text: &str) {
        self.send_frame(TEXT, text.as_bytes());
    }

    fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.read_exactly(2);
        assert_eq!(head[0] & 0xf0, 0x80, "one unfragmented frame");
        let len = match head[1] {
            126 => self.read_number(2),
            127 => self.read_number(8),
            len => len.into(),
        };
        (head[0] & 0x0f, self.read_exactly(len))
    }

    fn read_number(&mut self, size: usize) -> usize {
        let bytes = self.read_exactly(size);
        bytes
            .iter()
            .fold(0, |high, byte| high << 8 | usize::from(*byte))
    }

    #[track_caller]
    fn assert_frame(&mut self, opcode: u8, payload: &[u8]) {
        let (own, received) = self.read_frame();
        let shown = String::from_utf8_lossy(&received[..received.len().min(80)]).into_owned();
        assert!(
            (own, &received[..]) == (opcode, payload),
            "{own}: {shown:?}"
        );
    }

    #[track_caller]
    fn assert_hears(&mut self, text: &str) {
        let (opcode, payload) = self.read_frame();
        assert_eq!((opcode, &*String::from_utf8_lossy(&payload)), (TEXT, text));
    }

    /// The code and the reason of the Close frame that comes next.
    #[track_caller]
    fn read_close(&mut self) -> (u16, String) {
        let (opcode, payload) = self.read_frame();
        assert_eq!(opcode, CLOSE, "{:?}", String::from_utf8_lossy(&payload));
        let (code, reason) = payload.split_at(2);
        let code = u16::from_be_bytes([code[0], code[1]]);
        (code, String::from_utf8_lossy(reason).into_owned())
    }
}
