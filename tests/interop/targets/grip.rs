//! Behind a GRIP proxy: Pushpin in front of the component, on two servers of `wasi:http`.

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

use pushpin::{KEY, Ports, Pushpin};
use support::app_behaviours::{self, BINARY, CLOSE, TEXT};
use support::{Client, Head, Site, TIMEOUT, kill_group, root};
use wasi_http::WasiHttp;

// Opcodes of RFC 6455 §5.2.
const PING: u8 = 9;
const PONG: u8 = 10;

const CANNOT: &[(&str, &str)] = &[
    (app_behaviours::LAST_MESSAGES, "a proxy keeps no history"),
    (
        app_behaviours::WHO_IS_THERE,
        "a proxy does not know who is a member",
    ),
    (
        "messages come back unchanged",
        "Pushpin accepts messages of less than 200,000 bytes, and sends those over 16,384 bytes in fragments",
    ),
    (
        "the largest messages leave other connections alone",
        "Pushpin drops the connection, since they have more than 200,000 bytes",
    ),
    (
        "messages ahead of a Close frame are answered first",
        "Pushpin sends the second, of 70,000 bytes, in fragments",
    ),
    (
        "a message over the limit closes with 1009",
        "Pushpin drops the connection",
    ),
    (
        "the client's Close frame is answered",
        "Pushpin answers a Close frame without a code with code 1000",
    ),
    (
        "a trap closes every connection of the instance with 1011",
        "Pushpin drops the one connection whose request has failed, and no other",
    ),
];

/// The proxy, and the server behind it, which lives as long as the proxy.
struct Deployment<S> {
    pushpin: Pushpin,
    #[allow(dead_code, reason = "dropping it stops the server")]
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
    app_behaviours::build();
    app_behaviours::component("rust", app)
}

#[test]
fn apps_on_wasmtime() {
    for language in super::LANGUAGES {
        super::check("grip", language, CANNOT, on_wasmtime);
    }
}

#[test]
fn apps_on_jco() {
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
            .expect("node: run tests/setup.sh");
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < 4 * TIMEOUT, "jco does not listen in time");
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
        kill_group(&mut self.child);
    }
}

/// The differences that `CANNOT` lists.
#[test]
fn pushpin_differs_only_as_documented() {
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
        assert!(read_message(&mut client) == (opcode, payload.to_vec()));
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
fn an_exception_ends_only_its_own_connection() {
    let chat = on_wasmtime(&rust("chat"));
    let mut ann = chat.join("crash", "ann");
    let mut bob = chat.join("crash", "bob");
    ann.assert_hears("bob joined");
    bob.say("/crash");
    assert_eq!(bob.read_to_end(), b"", "no Close frame");
    ann.say("still here");
    ann.assert_hears("ann (1): still here");
}

/// Requests sent directly to the component, without Pushpin.
#[test]
fn the_component_checks_requests_itself() {
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
        let (head, _) = post(server, path, fields, body);
        assert_eq!(head.status, status, "{fields:?} {body:?}");
    }
    let (head, _) = post(&off, "/", events, &"x".repeat((1 << 20) + (64 << 10) + 1));
    assert_eq!(head.status, 413);
    for (variables, part) in [
        (&[][..], "GRIP_VERIFY_KEY"),
        (&[("GRIP_URL", "nonsense")], "GRIP_URL"),
    ] {
        let server = WasiHttp::serve(&component, variables);
        assert_eq!(post(&server, "/", events, open).0.status, 500);
        assert!(server.log().contains(part), "{}", server.log());
    }
}

fn post(site: &Site, path: &str, fields: &str, body: &str) -> (Head, String) {
    let length = body.len();
    site.request(&format!(
        "POST {path} HTTP/1.1\r\nHost: a.test\r\nConnection-Id: 1\r\n\
         Sec-WebSocket-Extensions: grip\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    ))
}

/// Reads a message from one or more frames: its opcode and its payload.
fn read_message(client: &mut Client) -> (u8, Vec<u8>) {
    let (mut opcode, mut message) = (0, Vec::new());
    loop {
        let head = client.read_exactly(2);
        let len = match head[1] {
            126 => client.read_number(2),
            127 => client.read_number(8),
            len => len.into(),
        };
        opcode |= head[0] & 0x0f;
        message.extend(client.read_exactly(len));
        if head[0] & 0x80 != 0 {
            return (opcode, message);
        }
    }
}

/// The lowest version of WASI 0.2, and no unused imports.
#[test]
fn imports_only_the_lowest_version_of_wasi() {
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

/// npm's GRIP library, in place of the proxy.
#[test]
fn works_with_npms_grip_library() {
    let component = super::compose(&rust("chat"), "grip");
    for algorithm in ["HS256", "ES256"] {
        let mut script = Command::new("node")
            .arg(root().join("tests/peers/grip/proxy.js"))
            .arg(algorithm)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node: run tests/setup.sh");
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
