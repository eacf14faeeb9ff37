//! The behaviour of the example apps in every language (`tests/interop/parity.rs`) and on every target
//! (`tests/interop/targets/main.rs`): tables whose rows are checked by a client on a socket.

use std::process::Command;
use std::sync::Once;
use std::thread;

use crate::{Client, Head, Site, opening_handshake, root};

/// A row: the behaviour, and its check.
pub type Behaviour = (&'static str, fn(&Site));

/// Checks the rows of a table, except those that the host `cannot` pass, which are listed with the reason.
pub fn run(host: &str, table: &[Behaviour], site: &Site, cannot: &[(&str, &str)]) {
    for (name, behaviour) in table {
        if let Some((_, reason)) = cannot.iter().find(|(row, _)| row == name) {
            println!("{host}: {name}: skipped, {reason}");
        } else {
            println!("{host}: {name}");
            behaviour(site);
        }
    }
}

/// Builds the apps that are not up to date: `target/languages/LANGUAGE-APP.wasm`.
pub fn build() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let script = root().join("languages/build.sh");
        let status = Command::new(script).status().expect("the script runs");
        assert!(status.success(), "the apps do not build; `make setup`?");
    });
}

/// The component of an app.
pub fn component(language: &str, app: &str) -> std::path::PathBuf {
    root().join(format!("target/languages/{language}-{app}.wasm"))
}

/// The app `echo`.
pub const ECHO: &[Behaviour] = &[
    ("the subprotocol is selected if it is offered", |site| {
        let (_, head) = site.open("/", "Sec-WebSocket-Protocol: superchat, echo\r\n");
        assert_eq!(
            head.field("Sec-WebSocket-Protocol").as_deref(),
            Some("echo")
        );
        let (_, head) = site.open("/", "Sec-WebSocket-Protocol: superchat\r\n");
        assert_eq!(
            (head.status, head.field("Sec-WebSocket-Protocol")),
            (101, None)
        );
    }),
    ("pages of another origin may not connect", |site| {
        let (_, head) = site.open("/", "Origin: https://b.test\r\n");
        assert_eq!(head.status, 403);
        let (_, head) = site.open("/", "Origin: http://a.test\r\n");
        assert_eq!(head.status, 101);
    }),
    ("a request without an answer of the app gets 404", |site| {
        let (head, _) = site.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(head.status, 404);
    }),
    ("messages come back unchanged", |site| {
        let mut client = site.websocket("/");
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
    (
        "the largest messages leave other connections alone",
        |site| {
            let mut others = [(); 3].map(|()| site.websocket("/"));
            let mut client = site.websocket("/");
            let text = "é".repeat(1 << 19);
            let largest = text.as_bytes();
            let (first, rest) = largest.split_at(1 << 10);
            // Fragments of 1 KiB, the first of which does not say that it is the last.
            let mut fragments = frame(TEXT, first);
            fragments[0] &= 0x7f;
            for fragment in rest.chunks(1 << 10) {
                let mut frame = frame(0, fragment);
                frame[0] &= 0x7f;
                fragments.extend(frame);
            }
            fragments.extend(frame(0, b""));
            for (sent, opcode) in [
                (frame(TEXT, largest), TEXT),
                (frame(BINARY, largest), BINARY),
                (fragments, TEXT),
            ] {
                client.send(&sent);
                client.assert_frame(opcode, largest);
                for other in &mut others {
                    other.say("here");
                    other.assert_hears("here");
                }
            }
        },
    ),
    ("a burst of messages comes back in order", |site| {
        let mut client = site.websocket("/");
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
    (
        "messages ahead of a Close frame are answered first",
        answers_what_is_ahead_of_a_close,
    ),
    ("a message over the limit closes with 1009", |site| {
        let mut client = site.websocket("/");
        client.send_frame(BINARY, &[0; (1 << 20) + 1]);
        assert_eq!(client.read_close().0, 1009);
    }),
    ("the client's Close frame is answered", |site| {
        for payload in [&b"\x0f\xa1bye"[..], b""] {
            let mut client = site.websocket("/");
            client.send_frame(CLOSE, payload);
            client.assert_frame(CLOSE, &payload[..payload.len().min(2)]);
            assert_eq!(client.read_to_end(), b"");
        }
    }),
];

/// The second message fills the send buffer of an app, so that its answer to the third has to wait.
pub fn answers_what_is_ahead_of_a_close(site: &Site) {
    let mut client = site.websocket("/");
    let long = [0; 70_000];
    let messages = [&b"a"[..], &long, b"b"];
    let mut frames = messages.map(|message| frame(BINARY, message)).concat();
    frames.extend(frame(CLOSE, b"\x03\xe8"));
    client.send(&frames);
    for message in messages {
        client.assert_frame(BINARY, message);
    }
    client.assert_frame(CLOSE, b"\x03\xe8");
    assert_eq!(client.read_to_end(), b"");
}

/// A row that needs history.
pub const LAST_MESSAGES: &str = "a new member is sent the last 50 messages";

/// A row that needs presence.
pub const WHO_IS_THERE: &str = "members learn who is there";

/// The app `chat`.
pub const CHAT: &[Behaviour] = &[
    ("plain requests are answered", |site| {
        let (head, body) = site.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        // Proxies may change the host.
        assert!(body.ends_with("/rooms/ROOM?NAME\n"), "{body}");
        assert_eq!(head.status, 200);
        let (head, _) = site.request("GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(head.status, 404);
    }),
    (
        "an app refuses a WebSocket with a status and a body",
        |site| {
            let (mut client, head) = site.open("/rooms/blue", "");
            assert_eq!(head.status, 400);
            let body = client.read_body(&head);
            assert_eq!(body, "Who are you? /rooms/ROOM?NAME\n");
            let (_, head) = site.open("/other", "");
            assert_eq!(head.status, 404);
        },
    ),
    ("state lasts as long as the connection", |site| {
        let mut ann = site.join("kept", "ann");
        ann.say("a");
        ann.assert_hears("ann (1): a");
        ann.say("b");
        ann.assert_hears("ann (2): b");
        drop(ann);
        // In another room: the first may not have heard yet that she left.
        let mut ann = site.join("lost", "ann");
        ann.say("c");
        ann.assert_hears("ann (1): c");
    }),
    (
        "a published message reaches its channel and no other",
        |site| {
            let mut ann = site.join("blue", "ann");
            let mut eve = site.join("red", "eve");
            let mut bob = site.join("blue", "bob");
            ann.assert_hears("bob joined");
            bob.say("hi");
            ann.assert_hears("bob (1): hi");
            bob.assert_hears("bob (1): hi");
            eve.say("red");
            eve.assert_hears("eve (1): red");
        },
    ),
    (LAST_MESSAGES, |site| {
        let mut ann = site.join("history", "ann");
        for number in 1..=60 {
            ann.say("again");
            ann.assert_hears(&format!("ann ({number}): again"));
        }
        let mut bob = site.websocket("/rooms/history?bob");
        for number in 11..=60 {
            bob.assert_hears(&format!("ann ({number}): again"));
        }
        bob.assert_hears("bob joined");
    }),
    (WHO_IS_THERE, |site| {
        let mut ann = site.join("here", "ann");
        let mut bob = site.join("here", "bob");
        for client in [&mut ann, &mut bob] {
            client.wait_for_members(&["ann", "bob"]);
        }
        let mut eve = site.join("elsewhere", "eve");
        eve.wait_for_members(&["eve"]);
        bob.say("/bye");
        bob.send_frame(CLOSE, b"\x03\xe8");
        bob.wait_for_end();
        ann.wait_for_members(&["ann"]);
    }),
    ("the app closes with a code and a reason", |site| {
        let mut ann = site.join("bye", "ann");
        let mut bob = site.join("bye", "bob");
        ann.assert_hears("bob joined");
        bob.say("/bye");
        assert_eq!(bob.read_close(), (1000, "bye".into()));
        bob.send_frame(CLOSE, b"\x03\xe8");
        ann.assert_hears("bob left (1000)");
        ann.send_frame(BINARY, b"");
        assert_eq!(ann.read_close(), (1003, "text only".into()));
    }),
    ("the app learns how a connection ended", |site| {
        let mut ann = site.join("ends", "ann");
        for (payload, line) in [
            (Some(&b"\x0f\xa2"[..]), "bob left (4002)"),
            (Some(b""), "bob left (1005)"),
            (None, "bob left (1006)"),
        ] {
            let mut bob = site.join("ends", "bob");
            ann.assert_hears("bob joined");
            if let Some(payload) = payload {
                bob.send_frame(CLOSE, payload);
                // To close a socket with something unread resets it, and the server may lose the frame.
                bob.wait_for_end();
            }
            drop(bob);
            ann.assert_hears(line);
        }
    }),
    ("an answer over the limit closes with 1011", |site| {
        let mut ann = site.join("flood", "ann");
        let mut bob = site.join("flood", "bob");
        ann.assert_hears("bob joined");
        bob.say("/flood");
        assert_eq!(bob.read_close(), (1011, String::new()));
        ann.assert_hears("bob left (1011)");
        ann.say("still here");
        ann.assert_hears("ann (1): still here");
    }),
    (
        "a room with a bad name does not disturb the others",
        |site| {
            let mut ann = site.join("good", "ann");
            let too_long = "x".repeat(200);
            for room in [&*too_long, ""] {
                let (mut client, _) = site.open(&format!("/rooms/{room}?bob"), "");
                client.try_send(&frame(CLOSE, b""));
                // A refused connection is reset if the frame comes too late.
                client.wait_for_end();
            }
            ann.say("still here");
            ann.assert_hears("ann (1): still here");
        },
    ),
];

/// The app `chat`, where a crash is a trap.
pub const TRAP: &[Behaviour] = &[(
    "a trap closes every connection of the instance with 1011",
    |site| {
        let mut ann = site.join("crash", "ann");
        let mut bob = site.join("crash", "bob");
        ann.assert_hears("bob joined");
        bob.say("/crash");
        assert_eq!(bob.read_close(), (1011, String::new()));
        assert_eq!(ann.read_close(), (1011, String::new()));
        // In another room: the first one has her last words.
        let mut ann = site.join("after-crash", "ann");
        ann.say("again");
        ann.assert_hears("ann (1): again");
    },
)];

/// The app `chat`, where a crash is an exception.
pub const EXCEPTION: &[Behaviour] = &[(
    "an exception closes its connection with 1011, and no other",
    |site| {
        let mut ann = site.join("crash", "ann");
        let mut bob = site.join("crash", "bob");
        ann.assert_hears("bob joined");
        bob.say("/crash");
        assert_eq!(bob.read_close(), (1011, String::new()));
        ann.assert_hears("bob left (1011)");
        ann.say("still here");
        ann.assert_hears("ann (1): still here");
    },
)];

/// The app `chat`, where nothing in front changes the host.
pub const HOST: &[Behaviour] = &[("the app knows the host of a request", |site| {
    for head in [
        "GET / HTTP/1.1\r\nHost: a.test:8080\r\n\r\n",
        // RFC 9112 §3.2.2: the host of an absolute target counts.
        "GET http://a.test:8080/ HTTP/1.1\r\nHost: b.test\r\n\r\n",
        "GET http://a.test:8080 HTTP/1.1\r\nHost: a.test:8080\r\n\r\n",
    ] {
        let (_, body) = site.request(head);
        assert_eq!(body, "Connect to a.test:8080/rooms/ROOM?NAME\n", "{head}");
    }
})];

/// The app `json-rpc`.
pub const JSON: &[Behaviour] = &[
    ("a request for the page gets JSON", |site| {
        let (head, body) = site.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let kind = head.field("Content-Type");
        assert_eq!(
            (head.status, kind.as_deref()),
            (200, Some("application/json"))
        );
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["methods"], serde_json::json!(["add", "total"]));
    }),
    ("calls are answered, and the total adds up", |site| {
        let mut client = site.websocket("/");
        for (call, answer) in [
            (
                r#"{"jsonrpc":"2.0","method":"add","params":[1,2.5],"id":1}"#,
                r#"{"jsonrpc":"2.0","result":3.5,"id":1}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"add","params":[4],"id":"b"}"#,
                r#"{"jsonrpc":"2.0","result":4.0,"id":"b"}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"total","id":2}"#,
                r#"{"jsonrpc":"2.0","result":7.5,"id":2}"#,
            ),
        ] {
            client.say(call);
            client.assert_hears_json(answer);
        }
    }),
    ("notifications are not answered", |site| {
        let mut client = site.websocket("/");
        client.say(r#"{"jsonrpc":"2.0","method":"add","params":[1]}"#);
        client.say(r#"{"jsonrpc":"2.0","method":"total","id":1}"#);
        client.assert_hears_json(r#"{"jsonrpc":"2.0","result":1.0,"id":1}"#);
    }),
    ("an invalid call gets an error", |site| {
        let mut client = site.websocket("/");
        for (call, code) in [
            ("{", -32700),
            (r#"{"jsonrpc":"2.0","method":"fly","id":1}"#, -32601),
            (
                r#"{"jsonrpc":"2.0","method":"add","params":"x","id":1}"#,
                -32602,
            ),
        ] {
            client.say(call);
            let (_, payload) = client.read_frame();
            let answer: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
            assert_eq!(answer["error"]["code"], code, "{answer}");
        }
    }),
];

/// With which the chat says who is there.
const HERE: &[u8] = b"here: ";

// Opcodes of RFC 6455 §5.2.
/// A text frame.
pub const TEXT: u8 = 1;
/// A binary frame.
pub const BINARY: u8 = 2;
/// A Close frame.
pub const CLOSE: u8 = 8;

/// A masked frame; the masking key is zero.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
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

impl Site {
    /// Sends an opening handshake with these further fields, and reads the head of the response.
    pub fn open(&self, path: &str, fields: &str) -> (Client, Head) {
        let mut handshake = opening_handshake(path);
        handshake.truncate(handshake.len() - 2);
        handshake.extend(fields.as_bytes());
        handshake.extend(b"\r\n");
        let mut client = self.connect();
        client.send(&handshake);
        let head = client.read_head();
        (client, head)
    }

    /// Joins a room of `chat`, and waits until the room says so.
    pub fn join(&self, room: &str, name: &str) -> Client {
        let mut client = self.websocket(&format!("/rooms/{room}?{name}"));
        let joined = format!("{name} joined");
        // What the room's history has comes first.
        while client.read_said() != (TEXT, joined.clone().into_bytes()) {}
        thread::sleep(self.settling);
        client
    }
}

impl Client {
    /// Sends a frame.
    pub fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.try_send(&frame(opcode, payload));
    }

    /// Sends a text message.
    pub fn say(&mut self, text: &str) {
        self.send_frame(TEXT, text.as_bytes());
    }

    /// Reads a frame: its opcode and its payload.
    pub fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.read_exactly(2);
        assert_eq!(head[0] & 0xf0, 0x80, "one unfragmented frame");
        let len = match head[1] {
            126 => self.read_number(2),
            127 => self.read_number(8),
            len => len.into(),
        };
        (head[0] & 0x0f, self.read_exactly(len))
    }

    /// Reads a number in network byte order.
    pub fn read_number(&mut self, size: usize) -> usize {
        let bytes = self.read_exactly(size);
        bytes
            .iter()
            .fold(0, |high, byte| high << 8 | usize::from(*byte))
    }

    /// The next frame is this one.
    #[track_caller]
    pub fn assert_frame(&mut self, opcode: u8, payload: &[u8]) {
        let (own, received) = self.read_frame();
        let shown = String::from_utf8_lossy(&received[..received.len().min(80)]).into_owned();
        assert!(
            (own, &received[..]) == (opcode, payload),
            "{own}: {shown:?}"
        );
    }

    /// Reads a frame of the chat, except for those that say who is there.
    fn read_said(&mut self) -> (u8, Vec<u8>) {
        loop {
            let (opcode, payload) = self.read_frame();
            if !payload.starts_with(HERE) {
                return (opcode, payload);
            }
        }
    }

    /// Reads until the chat says that these are there, in any order.
    pub fn wait_for_members(&mut self, expected: &[&str]) {
        loop {
            let (_, payload) = self.read_frame();
            let text = String::from_utf8_lossy(&payload);
            let members = text.strip_prefix("here: ").unwrap_or_default();
            let mut members: Vec<&str> = members.split(", ").collect();
            members.sort_unstable();
            if members == expected {
                return;
            }
        }
    }

    /// The next frame is this text message, leaving out who is there.
    #[track_caller]
    pub fn assert_hears(&mut self, text: &str) {
        let (opcode, payload) = self.read_said();
        assert_eq!((opcode, &*String::from_utf8_lossy(&payload)), (TEXT, text));
    }

    /// The next frame is a text message with this JSON value.
    #[track_caller]
    pub fn assert_hears_json(&mut self, json: &str) {
        let (opcode, payload) = self.read_frame();
        let heard: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        let expected: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!((opcode, heard), (TEXT, expected));
    }

    /// Reads a Close frame: its code and its reason.
    #[track_caller]
    pub fn read_close(&mut self) -> (u16, String) {
        let (opcode, payload) = self.read_said();
        assert_eq!(opcode, CLOSE, "{:?}", String::from_utf8_lossy(&payload));
        let (code, reason) = payload.split_at(2);
        let code = u16::from_be_bytes([code[0], code[1]]);
        (code, String::from_utf8_lossy(reason).into_owned())
    }
}
