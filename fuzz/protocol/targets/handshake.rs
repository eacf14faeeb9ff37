//! Any request head, on the server's side, and any response head, on the client's: accepted, or refused
//! with a documented error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasocket::extension::DeflateOptions;
use wasocket::{
    Answer, ClientHandshake, ClientRequest, Connection, HttpVersion, Message, Origins, Request,
    Upgrade, read_response_head,
};

fuzz_target!(|bytes: &[u8]| {
    server(bytes);
    client(bytes);
});

fn server(bytes: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    if !matches!(head.parse(bytes), Ok(httparse::Status::Complete(_))) {
        return;
    }
    let fields = head.headers.iter();
    let request = Request {
        method: head.method.unwrap_or_default().into(),
        target: head.path.unwrap_or_default().into(),
        version: match head.version {
            Some(0) => HttpVersion::Http10,
            _ => HttpVersion::Http11,
        },
        authority: None,
        protocol: None,
        fields: fields
            .map(|field| (field.name.into(), field.value.into()))
            .collect::<Vec<_>>()
            .into(),
        secure: bytes.len() % 2 == 0,
        ..Request::default()
    };
    let _ = (request.path(), request.wants_websocket());
    let answer = Upgrade::new()
        .subprotocols(&["chat", "superchat"])
        .compression(DeflateOptions::default())
        .origins(Origins::SameOr(&["https://b.test"]))
        .accept(&request, |ws: &mut Connection, message: Message| {
            ws.send(message)
        });
    match answer {
        Answer::Takeover(takeover) => {
            let head = takeover.response.expect("a WebSocket has a response");
            assert_eq!(head.status, 101);
            assert!(request.wants_websocket());
        }
        Answer::Respond(refusal) => {
            assert!((400..=599).contains(&refusal.head.status));
            assert!(refusal.head.fields.list_contains("Connection", "close"));
            assert!(!refusal.body.is_empty());
        }
    }
}

fn client(bytes: &[u8]) {
    let request = ClientRequest {
        host: "a.test".into(),
        target: "/".into(),
        subprotocols: vec!["chat".into()],
        compression: (bytes.len() % 2 == 0).then(DeflateOptions::default),
        ..ClientRequest::default()
    };
    let handshake = ClientHandshake::new(request, *b"the sample nonce").expect("valid");
    if let Ok(Some((head, size))) = read_response_head(bytes) {
        assert!(size <= bytes.len());
        if let Ok(done) = handshake.check(&head) {
            assert_eq!(head.status, 101);
            assert!(done.subprotocol.is_none_or(|name| name == "chat"));
        }
    }
}
