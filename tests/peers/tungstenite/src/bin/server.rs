//! An echo server made with tokio-tungstenite, for `wasocket connect`.
//!
//!     server
//!
//! `tests/peers/run` describes its paths. tungstenite has no permessage-deflate.
#![allow(clippy::result_large_err, reason = "the library's callback returns it")]

use std::io;
use std::process::exit;
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

const TIME_LIMIT: Duration = Duration::from_secs(50); // the whole run
const FRAGMENT: usize = 10_007; // bytes, so that characters are split

type Socket = WebSocketStream<TcpStream>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        exit(0);
    });
    let _ = timeout(TIME_LIMIT, serve()).await;
    eprintln!("still serving after {TIME_LIMIT:?}");
    exit(1);
}

async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("ws://{}", listener.local_addr().expect("bound"));
    loop {
        let (stream, _) = listener.accept().await.expect("a client");
        tokio::spawn(async {
            if let Err(error) = converse(stream).await {
                eprintln!("{error}");
            }
        });
    }
}

async fn converse(stream: TcpStream) -> Result<(), Error> {
    let mut path = String::new();
    let answer = |request: &Request, response| {
        path = request.uri().path().to_owned();
        answer(request, response)
    };
    let mut socket = accept_hdr_async(stream, answer).await?;
    match path.as_str() {
        "/close" => socket.close(Some(enough())).await?,
        "/big" => send_big(&mut socket).await?,
        _ => {}
    }
    while let Some(message) = socket.next().await {
        let message = message?;
        // The library answers control frames.
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

fn answer(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path() == "/refuse" {
        let mut refusal = ErrorResponse::new(Some("not for you\n".to_owned()));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        return Err(refusal);
    }
    let name = "Sec-WebSocket-Protocol";
    let offered = request.headers().get(name).map(HeaderValue::to_str);
    let mut offered = offered.into_iter().flatten().flat_map(|all| all.split(','));
    if offered.any(|offer| offer.trim() == "chat") {
        let selected = HeaderValue::from_static("chat");
        response.headers_mut().insert(name, selected);
    }
    Ok(response)
}

fn enough() -> CloseFrame {
    CloseFrame {
        code: 4321.into(),
        reason: "enough".into(),
    }
}

async fn send_big(socket: &mut Socket) -> Result<(), Error> {
    let text = "Gruß 世界🦀".repeat(1 << 16); // 1 MiB
    let mut fragments = text.as_bytes().chunks(FRAGMENT).peekable();
    let mut kind = Data::Text;
    while let Some(fragment) = fragments.next() {
        let is_last = fragments.peek().is_none();
        let frame = Frame::message(fragment.to_vec(), OpCode::Data(kind), is_last);
        socket.send(Message::Frame(frame)).await?;
        kind = Data::Continue;
    }
    Ok(())
}
