//! The behaviour of every host, on streams and alongside them.

use std::net::SocketAddr;
use std::thread;

use super::client::Connection;
use super::{faults, serve};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use h2::ext::Protocol;
use http::Request;
use support::{Site, app_behaviours, host_behaviours};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that turns HTTP/1.1 connections into streams of one HTTP/2 connection.
fn over_http2(server: SocketAddr) -> Site {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("possible");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let connection = Connection::to(server).await;
            while let Ok((client, _)) = listener.accept().await {
                let requests = connection.requests.clone();
                // A client may leave at any time.
                tokio::spawn(async { drop(translate(client, requests).await) });
            }
        });
    });
    Site::at(address)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Forwards one request, and everything after it.
async fn translate(mut client: TcpStream, requests: SendRequest<Bytes>) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let (request, head) = loop {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        if let Some(parsed) = request_in(&bytes)? {
            break parsed;
        }
    };
    let is_websocket = request.method() == "CONNECT";
    let mut requests = requests.ready().await?;
    let (response, mut outgoing) = requests.send_request(request, !is_websocket)?;
    let residual = bytes.split_off(head);
    if !residual.is_empty() {
        outgoing.send_data(residual.into(), false)?;
    }
    let (head, incoming) = response.await?.into_parts();
    client.write_all(&head_of(&head)).await?;
    let (mut from, mut to) = client.into_split();
    let up = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        let mut has_more = is_websocket;
        while has_more {
            let length = from.read(&mut buffer).await?;
            has_more = length > 0;
            outgoing.send_data(buffer[..length].to_vec().into(), !has_more)?;
        }
        Ok::<_, Failure>((from, outgoing))
    });
    let down = pass_down(incoming, &mut to).await;
    to.shutdown().await?;
    let _kept = up.await;
    down
}

async fn pass_down(
    mut incoming: RecvStream,
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> Result<(), Failure> {
    while let Some(data) = incoming.data().await {
        let data = data?;
        to.write_all(&data).await?;
        incoming.flow_control().release_capacity(data.len())?;
    }
    Ok(())
}

/// The request and the length of its head, once the head is complete.
fn request_in(bytes: &[u8]) -> Result<Option<(Request<()>, usize)>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes)? else {
        return Ok(None);
    };
    let (method, path) = (
        head.method.unwrap_or_default(),
        head.path.unwrap_or_default(),
    );
    let of_connection = ["host", "upgrade", "connection", "sec-websocket-key"];
    let is_upgrade = |name: &str| name.eq_ignore_ascii_case("upgrade");
    let is_websocket = head.headers.iter().any(|field| is_upgrade(field.name));
    let mut request = Request::builder()
        .method(if is_websocket { "CONNECT" } else { method })
        .uri(format!("http://a.test{path}"));
    if is_websocket {
        request = request.extension(Protocol::from_static("websocket"));
    }
    for field in head.headers.iter() {
        if !of_connection.contains(&&*field.name.to_ascii_lowercase()) {
            request = request.header(field.name, field.value);
        }
    }
    Ok(Some((request.body(())?, length)))
}

fn head_of(head: &http::response::Parts) -> Vec<u8> {
    let status = match head.status.as_u16() {
        200 if !head.headers.contains_key("content-length") => 101,
        status => status,
    };
    let mut bytes = format!("HTTP/1.1 {status} x\r\n").into_bytes();
    for (name, value) in &head.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes
}

#[test]
fn every_host_behaviour_holds_on_streams() {
    let rows = [
        "the vectors of frames",
        "the vectors of frames, sent with the request head",
        "input may come byte by byte",
        "a slow reader gets the whole response before the close",
        "a peer that answers no pings is disconnected",
    ];
    let run = |table: &[app_behaviours::Behaviour], site: &Site| {
        let own = table.iter().filter(|(name, _)| rows.contains(name));
        let own: Vec<_> = own.copied().collect();
        assert!(own.len() >= 2);
        app_behaviours::run("HTTP/2", &own, site, &[]);
    };
    let server = serve(&[]);
    run(host_behaviours::DEFAULT_APP, &over_http2(server.address));
    let server = faults(&[]);
    run(host_behaviours::FAULTS, &over_http2(server.address));
}

/// HTTP/1.1 works as it does without the option.
#[test]
fn every_host_behaviour_holds_alongside_http_2() {
    let server = serve(&[]);
    let preface = "the preface of HTTP/2 is not HTTP/1.1";
    let cannot = [
        ("the vectors of opening handshakes", preface),
        ("bytes after a refused upgrade get no answer", preface),
    ];
    thread::scope(|scope| {
        for row in host_behaviours::DEFAULT_APP {
            let (server, cannot) = (&server, &cannot);
            scope.spawn(move || app_behaviours::run("alongside HTTP/2", &[*row], server, cannot));
        }
    });
}
