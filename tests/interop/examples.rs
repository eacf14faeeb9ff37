//! The examples, as components in the running binary.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::app_behaviours::answers_what_is_ahead_of_a_close;
use support::backend::Backend;
use support::{Client, Server, build_guest, opening_handshake, text};

fn serve(example: &str) -> Server {
    Server::serving(&build_guest(example, ""), &[])
}

/// An opening handshake with further field lines.
fn handshake_with(path: &str, fields: &str) -> Vec<u8> {
    let mut handshake = opening_handshake(path);
    handshake.truncate(handshake.len() - 2);
    handshake.extend(fields.as_bytes());
    handshake.extend(b"\r\n");
    handshake
}

/// The next message is this short text.
#[track_caller]
fn assert_says(client: &mut Client, message: &str) {
    let expected = [&[0x81, message.len() as u8], message.as_bytes()].concat();
    let said = client.read_exactly(expected.len());
    assert_eq!(
        String::from_utf8_lossy(&said),
        String::from_utf8_lossy(&expected)
    );
}

#[test]
fn hello() {
    let server = serve("hello");
    answers_what_is_ahead_of_a_close(&server);
}

#[test]
fn chat() {
    let server = serve("chat");
    let (head, page) = server.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(head.status, 200);
    assert!(page.contains("<title>Chat</title>"));

    let mut ann = server.websocket("/rooms/blue?name=ann");
    let mut bob = server.websocket("/rooms/blue?name=bob");
    let mut eve = server.websocket("/rooms/red?name=eve");
    for client in [&mut ann, &mut bob] {
        wait_for(client, &json!({"here": ["ann", "bob"]}));
    }
    wait_for(&mut eve, &json!({"here": ["eve"]}));
    ann.send(&text("hello"));
    for client in [&mut ann, &mut bob] {
        wait_for(client, &json!({"said": {"name": "ann", "text": "hello"}}));
    }
    drop(ann);
    wait_for(&mut bob, &json!({"here": ["bob"]}));
    eve.send(&text("red"));
    wait_for(&mut eve, &json!({"said": {"name": "eve", "text": "red"}}));
    // Those who come later are sent what was said.
    let mut tom = server.websocket("/rooms/blue?name=tom%20b");
    wait_for(&mut tom, &json!({"said": {"name": "ann", "text": "hello"}}));
    wait_for(&mut tom, &json!({"here": ["bob", "tom b"]}));
}

/// Reads until the chat says this.
fn wait_for(client: &mut Client, expected: &Value) {
    loop {
        let (_, payload) = client.read_frame();
        let mut heard: Value = serde_json::from_slice(&payload).expect("JSON");
        if let Some(members) = heard.get_mut("here").and_then(Value::as_array_mut) {
            members.sort_by_key(ToString::to_string);
        }
        if heard == *expected {
            return;
        }
        assert!(heard.get("here").is_some(), "{heard}");
    }
}

#[test]
fn a_slow_member_is_disconnected() {
    let server = serve("chat");
    let mut slow = server.websocket("/rooms/blue?name=slow");
    let mut fast = server.websocket("/rooms/blue?name=fast");
    // More than fits into all buffers between the two.
    let message = "x".repeat(60_000);
    let frame = [
        &[0x81, 0xfe],
        &60_000u16.to_be_bytes()[..],
        &[0; 4],
        message.as_bytes(),
    ]
    .concat();
    for _ in 0..400 {
        fast.send(&frame);
        wait_for(
            &mut fast,
            &json!({"said": {"name": "fast", "text": message}}),
        );
    }
    let all = slow.read_to_end();
    // A Close frame with code 1013.
    let end = &all[all.len().saturating_sub(64)..];
    let has_code = end
        .windows(4)
        .any(|bytes| bytes[0] == 0x88 && bytes[2..] == [0x03, 0xf5]);
    assert!(has_code, "{end:?} of {}", all.len());
}

#[test]
fn json_rpc() {
    let server = serve("json-rpc");
    let mut client = server.websocket("/");
    for (request, response) in [
        (
            r#"{"jsonrpc":"2.0","method":"add","params":[1,2.5],"id":"a"}"#,
            r#"{"jsonrpc":"2.0","result":3.5,"id":"a"}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"sleep","params":[20],"id":1}"#,
            r#"{"jsonrpc":"2.0","result":null,"id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"no","id":2}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"there is no method no"},"id":2}"#,
        ),
    ] {
        // A notification gets no response.
        client.send(&text(r#"{"jsonrpc":"2.0","method":"add","params":[]}"#));
        client.send(&text(request));
        assert_says(&mut client, response);
    }
    client.send(&text("{"));
    let answer = client.read_exactly(60);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains(r#""code":-32700"#), "{answer}");
}

#[test]
fn login() {
    let server = serve("login");
    let refused = |fields: &str| {
        let mut client = server.connect();
        client.send(&handshake_with("/private", fields));
        let head = client.read_head();
        assert_eq!(head.status, 401);
        client.read_body(&head);
        assert_eq!(client.read_to_end(), b"");
        head.field("WWW-Authenticate").expect("a challenge")
    };
    assert_eq!(refused(""), "Bearer");
    let wrong = "Authorization: Bearer d3b07384d113edec49eaa6238ad5ff01\r\n";
    assert_eq!(refused(wrong), r#"Bearer error="invalid_token""#);

    let post = |query: &str| {
        server.request(&format!(
            "POST /login?{query} HTTP/1.1\r\nHost: a.test\r\n\r\n"
        ))
    };
    assert_eq!(post("password=guess").0.status, 403);
    let (head, _) = post("password=open+sesame");
    let cookie = head.field("Set-Cookie").expect("a cookie");
    let token = cookie.split(';').next().expect("a pair");
    for fields in [
        format!("Cookie: theme=dark; {token}\r\n"),
        format!(
            "Authorization: Bearer {}\r\n",
            token.trim_start_matches("token=")
        ),
    ] {
        let mut client = server.connect();
        client.send(&handshake_with("/private", &fields));
        assert_eq!(client.read_head().status, 101);
        assert_says(&mut client, "You are in.");
    }
    let (head, _) = server.request("GET /login HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(head.status, 405);
    assert_eq!(head.field("Allow").as_deref(), Some("POST"));
}

#[test]
fn hijack() {
    let server = serve("hijack");
    let mut client = server.connect();
    client.send(b"GET /hijack HTTP/1.1\r\nHost: a.test\r\n\r\nhi");
    let prompt = b"Now we're speaking raw TCP. Say hi: ";
    assert_eq!(client.read_exactly(prompt.len()), prompt);
    client.send(b" there\n");
    assert_eq!(client.read_to_end(), b"You said: \"hi there\\n\"\nBye.\n");

    let mut client = server.connect();
    client.send(b"GET /bytes HTTP/1.1\r\nHost: a.test\r\n\r\n\0\xff");
    assert_eq!(client.read_exactly(2), b"\0\xff");
    client.send(&[7; 100_000]);
    assert_eq!(client.read_exactly(100_000), [7; 100_000]);
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"");

    let (head, _) = server.request("POST /hijack HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(head.status, 405);
}

#[test]
fn subprotocols() {
    let server = serve("subprotocols");
    let open = |offer: &str| {
        let mut client = server.connect();
        client.send(&handshake_with("/", offer));
        let head = client.read_head();
        (client, head)
    };
    let (mut client, head) = open("Sec-WebSocket-Protocol: echo.v1, count.v1\r\n");
    assert_eq!(
        head.field("Sec-WebSocket-Protocol").as_deref(),
        Some("count.v1")
    );
    client.send(&text("a"));
    client.send(&text("b"));
    assert_says(&mut client, "1");
    assert_says(&mut client, "2");
    let (mut client, _) = open("Sec-WebSocket-Protocol: echo.v1\r\n");
    client.send(&text("a"));
    assert_says(&mut client, "a");
    let (mut client, head) = open("");
    assert_eq!(head.status, 400);
    assert!(client.read_body(&head).contains("count.v1, echo.v1"));
}

#[test]
fn relay() {
    let backend = Backend::start();
    let (backend_url, allowed) = (format!("BACKEND={}", backend.url("")), backend.allowed());
    let options = ["--env", &backend_url, &allowed[0], &allowed[1]];
    let server = Server::serving(&build_guest("relay", ""), &options);
    let (head, page) = server.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(head.status, 200);
    assert!(page.contains("<title>Relay</title>"));

    // The second question is read while the first is answered, and is answered before it.
    let mut client = server.websocket("/ask");
    client.send(&text(r#"{"id":1,"text":"slow?"}"#));
    let mut slow = backend.accept();
    assert_eq!(
        (slow.head.starts_with("post /answer "), &slow.body[..]),
        (true, &b"slow?"[..])
    );
    slow.begin_chunks();
    slow.chunk("some");
    assert_says(&mut client, r#"{"id":1,"part":"some"}"#);
    client.send(&text(r#"{"id":2,"text":"quick?"}"#));
    backend.accept().answer(404);
    assert_says(&mut client, r#"{"id":2,"end":404}"#);
    // A character may arrive in two parts.
    slow.write("1\r\n");
    slow.write(b"\xc3\r\n");
    assert_says(&mut client, r#"{"id":1,"part":""}"#);
    slow.write("1\r\n");
    slow.write(b"\xa9\r\n0\r\n\r\n");
    assert_says(&mut client, "{\"id\":1,\"part\":\"\u{e9}\"}");
    assert_says(&mut client, r#"{"id":1,"end":200}"#);
    client.send(&text(r#"{"id":3,"text":""}"#));
    drop(backend.accept());
    assert!(client.read_text().starts_with(r#"{"id":3,"failed":""#));

    let enter = |status| {
        let mut client = server.connect();
        client.send(&handshake_with(
            "/members/ask",
            "Authorization: Bearer x\r\n",
        ));
        let exchange = backend.accept();
        assert!(exchange.head.starts_with("get /user "), "{}", exchange.head);
        assert!(exchange.head.contains("authorization: bearer x\r\n"));
        exchange.answer(status);
        client.read_head().status
    };
    assert_eq!(enter(200), 101);
    assert_eq!(enter(403), 401);
}

#[test]
fn tunnel() {
    let target = Backend::start();
    let address = target.address.to_string();
    let component = build_guest("tunnel", "");
    let to = format!("TO={address}");
    let server = Server::serving(&component, &["--env", &to, "--allow-tcp", &address]);

    let mut client = server.websocket("/");
    let mut stream = target.accept_raw();
    client.send(b"\x82\x83\0\0\0\0SYN");
    let mut bytes = [0; 3];
    stream.read_exact(&mut bytes).expect("connected");
    assert_eq!(&bytes, b"SYN");
    stream.write_all(b"ACK").expect("connected");
    assert_eq!(client.read_exactly(5), b"\x82\x03ACK");

    // More than fits into the buffers, to a peer that does not read at first.
    let message = [&b"\x82\xfe\xff\xff\0\0\0\0"[..], &[7; 65_535]].concat();
    let sent = message.len() - 8;
    const MESSAGES: usize = 400;
    let reader = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        let mut all = vec![0; sent * MESSAGES];
        stream.read_exact(&mut all).expect("connected");
        assert!(all.iter().all(|byte| *byte == 7));
        stream
    });
    (0..MESSAGES).for_each(|_| client.send(&message));
    drop(reader.join().expect("all arrives"));
    // The end of the TCP connection is the end of the WebSocket.
    assert_eq!(client.read_exactly(4), [0x88, 2, 0x03, 0xe8]);

    let client = server.websocket("/");
    let mut stream = target.accept_raw();
    drop(client);
    assert_eq!(stream.read(&mut bytes).expect("an orderly end"), 0);

    drop(target);
    let mut client = server.websocket("/");
    assert_eq!(client.read_exactly(4), [0x88, 2, 0x03, 0xf6]);
    let server = Server::serving(&component, &["--env", &to]);
    assert_eq!(server.websocket("/").read_exactly(4), [0x88, 2, 0x03, 0xf6]);
    server.wait_for_log(&format!("--allow-tcp {address}"));
}

/// A message larger than the instance's memory: the app keeps only one chunk of it.
#[test]
fn upload() {
    let component = build_guest("upload", "");
    let server = Server::serving(&component, &["--memory", "8"]);
    let mut client = server.websocket("/");
    // 32 fragments of 1 MiB of zeros; the masking key is zero.
    for fragment in 0..32 {
        let opcode: u8 = if fragment == 0 { 0x02 } else { 0x00 };
        let fin = if fragment == 31 { 0x80 } else { 0x00 };
        let mut frame = vec![fin | opcode, 0xff];
        frame.extend((1u64 << 20).to_be_bytes());
        frame.extend([0; 4]);
        frame.resize(frame.len() + (1 << 20), 0);
        client.send(&frame);
        let progress = client.read_exactly(2);
        let progress = client.read_exactly(progress[1].into());
        let progress = String::from_utf8_lossy(&progress);
        assert!(progress.starts_with("{\"received\":"), "{progress}");
    }
    assert_says(
        &mut client,
        r#"{"done":{"size":33554432,"sha1":"57b587e1bf2d09335bdac6db18902d43dfe76449"}}"#,
    );
}
