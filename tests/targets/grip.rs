//! Behind a proxy that speaks GRIP: Pushpin in front of the component on two servers of `wasi:http`.

#[path = "pushpin.rs"]
mod pushpin;
#[path = "wasi_http.rs"]
mod wasi_http;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::apps::{self, BINARY, CLOSE, TEXT};
use crate::runner::{Client, Head, PATIENCE, Site, end_group, root};
use pushpin::{KEY, Ports, Pushpin};
use wasi_http::WasiHttp;

// Opcodes of RFC 6455 §5.2.
const PING: u8 = 9;
const PONG: u8 = 10;

const CANNOT: &[(&str, &str)] = &[
    (
        "messages come back as they are",
        "Pushpin takes messages of less than 200,000 bytes, and sends longer ones than 16,384 in fragments",
    ),
    (
        "a message that is too long closes with 1009",
        "Pushpin drops the connection",
    ),
    (
        "the client's close is answered",
        "Pushpin answers a Close frame without a code with code 1000",
    ),
    (
        "an exception closes all of the instance with 1011",
        "Pushpin drops the one connection whose request has failed, and no other",
    ),
];

/// The proxy, and the server behind it for as long.
struct Deployment<S> {
    pushpin: Pushpin,
    #[allow(dead_code, reason = "a server ends when it is dropped")]
    server: S,
}

impl<S> Deref for Deployment<S> {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.pushpin
    }
}

fn deploy<S: Deref<Target = Site>>(serve: impl Fn(&[(&str, &str)]) -> S) -> Deployment<S> {
    let ports = Ports::free();
    let url = ports.url();
    let server = serve(&[
        ("GRIP_URL", &url),
        ("GRIP_VERIFY_KEY", KEY),
        ("GRIP_VERIFY_ISS", "pushpin"),
    ]);
    Deployment {
        pushpin: Pushpin::start(&ports, server.address),
        server,
    }
}

fn on_wasmtime(app: &Path) -> Deployment<WasiHttp> {
    let component = super::compose(app, "grip");
    deploy(|environment| WasiHttp::serve(&component, environment))
}

fn rust(app: &str) -> std::path::PathBuf {
    apps::build();
    apps::component("rust", app)
}

#[test]
fn grip_on_wasmtime() {
    for language in super::LANGUAGES {
        super::check("grip", language, CANNOT, on_wasmtime);
    }
}

#[test]
fn grip_on_jco() {
    super::check("grip on jco", "rust", CANNOT, |app| {
        let component = super::compose(app, "grip");
        deploy(|environment| Jco::serve(&component, environment))
    });
}

/// `jco serve`.
struct Jco {
    child: Child,
    site: Site,
}

impl Deref for Jco {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Jco {
    fn serve(component: &Path, environment: &[(&str, &str)]) -> Self {
        let port = wasi_http::free_port();
        let child = Command::new("node")
            .arg(root().join("tests/peers/jco/node_modules/.bin/jco"))
            .args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--isolate-worker-pool-size", "2"])
            .arg(component)
            .env("TMPDIR", super::leftovers())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("node is there: tests/setup.sh");
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < 4 * PATIENCE, "jco does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        Self {
            child,
            site: Site::at(address),
        }
    }
}

impl Drop for Jco {
    fn drop(&mut self) {
        end_group(&mut self.child);
    }
}

/// What Pushpin does in a way of its own, so that `CANNOT` lists it.
#[test]
fn what_pushpin_does_its_own_way() {
    let echo = on_wasmtime(&rust("echo"));
    let mut client = echo.websocket("/");
    let bytes: Vec<u8> = (0..=255).cycle().take(190_000).collect();
    for (opcode, payload) in [
        (TEXT, "κόσμε \u{10ffff} \0".as_bytes()),
        (TEXT, b""),
        (TEXT, b"c:{\"type\":\"detach\"}"),
        (BINARY, b"\xff\0"),
        (BINARY, b""),
        (BINARY, &bytes),
    ] {
        client.send_frame(opcode, payload);
        assert!(client.read_message() == (opcode, payload.to_vec()));
    }
    client.send_frame(PING, b"x");
    client.assert_frame(PONG, b"x");
    client.send_frame(CLOSE, b"\x0f\xa1bye");
    client.assert_frame(CLOSE, b"\x0f\xa1");
    let mut client = echo.websocket("/");
    client.send_frame(CLOSE, b"");
    client.assert_frame(CLOSE, b"\x03\xe8");
    let mut client = echo.websocket("/");
    client.send_frame(BINARY, &[0; 210_000]);
    assert_eq!(client.read_to_end(), b"", "no Close frame");
}

#[test]
fn an_exception_costs_one_connection() {
    let chat = on_wasmtime(&rust("chat"));
    let mut ann = chat.join("crash", "ann");
    let mut bob = chat.join("crash", "bob");
    ann.assert_hears("bob joined");
    bob.say("/crash");
    assert_eq!(bob.read_to_end(), b"", "no Close frame");
    ann.say("still here");
    ann.assert_hears("ann (1): still here");
}

/// Without Pushpin: what the component answers to whoever reaches it.
#[test]
fn requests_as_bytes() {
    let component = super::compose(&rust("chat"), "grip");
    let signed = WasiHttp::serve(&component, &[("GRIP_VERIFY_KEY", KEY)]);
    let off = WasiHttp::serve(&component, &[("GRIP_VERIFY", "dangerously-off")]);
    let events = "Content-Type: application/websocket-events\r\n";
    let open = "OPEN\r\n";
    for (server, fields, body, status) in [
        (&signed, events, open, 401),
        (
            &signed,
            "Content-Type: application/websocket-events\r\nGrip-Sig: x.y.z\r\n",
            open,
            401,
        ),
        (
            &signed,
            "Content-Type: Application/WebSocket-Events\r\n",
            open,
            415,
        ),
        (
            &signed,
            "Content-Type: text/plain\r\nContent-Type: application/websocket-events\r\n",
            open,
            415,
        ),
        (&signed, "Content-Type: text/plain\r\n", open, 200),
        (&signed, "Sec-WebSocket-Key: x\r\n", "", 501),
        (&off, events, open, 200),
        (
            &off,
            "Content-Type: application/websocket-events; charset=utf-8\r\n",
            open,
            415,
        ),
        (&off, events, "OPEN", 400),
        (&off, events, "TEXT 5\r\nhi\r\n", 400),
        (&off, events, "JOIN\r\n", 400),
        (&off, events, "OPEN\r\nTEXT 2\r\nhi\r\nCLOSE\r\n", 200),
    ] {
        let path = if status == 200 && fields == events {
            "/rooms/blue?ann"
        } else {
            "/"
        };
        let (head, _) = server.post(path, fields, body);
        assert_eq!(head.status, status, "{fields:?} {body:?}");
    }
    let (head, _) = off.post("/", events, &"x".repeat((1 << 20) + (64 << 10) + 1));
    assert_eq!(head.status, 413);
    for (variables, part) in [
        (&[][..], "GRIP_VERIFY_KEY"),
        (&[("GRIP_URL", "nonsense")], "GRIP_URL"),
    ] {
        let server = WasiHttp::serve(&component, variables);
        assert_eq!(server.post("/", events, open).0.status, 500);
        assert!(server.log().contains(part), "{}", server.log());
    }
}

impl Site {
    fn post(&self, path: &str, fields: &str, body: &str) -> (Head, String) {
        let length = body.len();
        self.request(&format!(
            "POST {path} HTTP/1.1\r\nHost: a.test\r\nConnection-Id: 1\r\n\
             Sec-WebSocket-Extensions: grip\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ))
    }
}

impl Client {
    /// A message, and its type, in however many frames.
    fn read_message(&mut self) -> (u8, Vec<u8>) {
        let (mut opcode, mut message) = (0, Vec::new());
        loop {
            let head = self.read_exactly(2);
            let len = match head[1] {
                126 => self.read_number(2),
                127 => self.read_number(8),
                len => len.into(),
            };
            opcode |= head[0] & 0x0f;
            message.extend(self.read_exactly(len));
            if head[0] & 0x80 != 0 {
                return (opcode, message);
            }
        }
    }
}

/// The lowest version of WASI 0.2 that there is, and nothing that is not used.
#[test]
fn imports() {
    assert_eq!(
        super::imports(&super::compose(&rust("echo"), "grip")),
        [
            "wasi:cli/environment@0.2.0",
            "wasi:cli/stderr@0.2.0",
            "wasi:clocks/monotonic-clock@0.2.0",
            "wasi:clocks/wall-clock@0.2.0",
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:http/types@0.2.0",
            "wasi:io/error@0.2.0",
            "wasi:io/poll@0.2.0",
            "wasi:io/streams@0.2.0",
            "wasi:random/random@0.2.0",
        ]
    );
}

/// npm's library for GRIP, in the place of the proxy.
#[test]
fn npms_grip() {
    let component = super::compose(&rust("chat"), "grip");
    for algorithm in ["HS256", "ES256"] {
        let mut script = Command::new("node")
            .arg(root().join("tests/peers/grip/proxy.js"))
            .arg(algorithm)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is there: tests/setup.sh");
        let mut line = String::new();
        BufReader::new(script.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let own: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let (port, key) = (&own["port"], own["key"].as_str().expect("a key"));
        let server = WasiHttp::serve(
            &component,
            &[
                (
                    "GRIP_URL",
                    &format!("http://127.0.0.1:{port}?iss=publisher&key=what%20publishers%20have"),
                ),
                ("GRIP_VERIFY_KEY", key),
                ("GRIP_VERIFY_ISS", "proxy"),
            ],
        );
        let mut stdin = script.stdin.take().expect("piped");
        writeln!(stdin, "{}", server.address).expect("the script reads");
        let status = script.wait().expect("the script ends");
        assert!(status.success(), "{algorithm}: {}", server.log());
    }
}
