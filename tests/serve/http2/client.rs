//! A client of HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::Request;
use support::{TIMEOUT, text};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Runs a client, which has to end in time.
pub(super) fn run(client: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async { timeout(TIMEOUT, client).await });
    outcome.expect("it ends in time");
}

/// A connection whose server has announced extended CONNECT.
pub(super) struct Connection {
    pub(super) requests: SendRequest<Bytes>,
    /// The task of the connection, with the way it ends.
    pub(super) end: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Connection {
    pub(super) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it accepts");
        // So that a stream that is not read does not hold up the others.
        let mut settings = h2::client::Builder::new();
        let handshake = settings
            .initial_connection_window_size(1 << 20)
            .handshake(stream);
        let (requests, connection) = handshake.await.expect("HTTP/2");
        let end = tokio::spawn(connection);
        while !requests.is_extended_connect_protocol_enabled() {
            sleep(Duration::from_millis(1)).await;
        }
        Self { requests, end }
    }

    /// Sends the head of a request, which `ends` there or has a body to follow.
    pub(super) async fn send(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let ready = self.requests.clone().ready().await;
        let mut requests = ready.expect("an open connection");
        requests.send_request(request, ends).expect("a request")
    }

    /// The response to a GET request.
    pub(super) async fn get(
        &mut self,
        path: &str,
    ) -> Result<(http::response::Parts, String), h2::Error> {
        let request = Request::get(format!("http://a.test{path}")).body(());
        let (response, _) = self.send(request.expect("valid"), true).await;
        let (head, mut body) = response.await?.into_parts();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            let _ = body.flow_control().release_capacity(data.len());
            text.extend(data);
        }
        Ok((head, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Opens a WebSocket.
    pub(super) async fn open(
        &mut self,
        request: Request<()>,
    ) -> (http::response::Parts, WebSocket) {
        let (response, outgoing) = self.send(request, false).await;
        let (head, incoming) = response.await.expect("an answer").into_parts();
        let websocket = WebSocket {
            outgoing,
            incoming,
            received: Vec::new(),
        };
        (head, websocket)
    }

    pub(super) async fn websocket(&mut self, path: &str) -> WebSocket {
        let (head, websocket) = self.open(connect(path)).await;
        assert_eq!(head.status, 200, "{head:?}");
        websocket
    }
}

/// An extended CONNECT for a WebSocket.
pub(super) fn connect(path: &str) -> Request<()> {
    let request = Request::connect(format!("http://a.test{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    request.body(()).expect("valid")
}

/// A stream that is a WebSocket.
pub(super) struct WebSocket {
    pub(super) outgoing: SendStream<Bytes>,
    pub(super) incoming: RecvStream,
    pub(super) received: Vec<u8>,
}

impl WebSocket {
    /// Sends bytes in one DATA frame, or in several.
    pub(super) async fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.outgoing.reserve_capacity(bytes.len());
            let room = match self.outgoing.capacity() {
                0 => {
                    let more = std::future::poll_fn(|cx| self.outgoing.poll_capacity(cx)).await;
                    more.expect("a stream").expect("room")
                }
                room => room,
            };
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let data = Bytes::copy_from_slice(now);
            self.outgoing.send_data(data, false).expect("it is open");
            bytes = later;
        }
    }

    pub(super) fn finish_sending(&mut self) {
        self.outgoing
            .send_data(Bytes::new(), true)
            .expect("it is open");
    }

    /// Waits for more bytes; returns `false` at the end of the stream.
    pub(super) async fn read_more(&mut self) -> Result<bool, h2::Error> {
        let Some(data) = self.incoming.data().await.transpose()? else {
            return Ok(false);
        };
        let _ = self.incoming.flow_control().release_capacity(data.len());
        self.received.extend(data);
        Ok(true)
    }

    pub(super) async fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            let more = self.read_more().await.expect("no reset");
            assert!(more, "the stream ends after {:?}", self.received);
        }
        self.received.drain(..length).collect()
    }

    /// Reads until END_STREAM.
    pub(super) async fn read_to_end(&mut self) -> Result<Vec<u8>, h2::Error> {
        while self.read_more().await? {}
        Ok(std::mem::take(&mut self.received))
    }

    pub(super) async fn assert_echoes(&mut self, message: &str) {
        self.send(&text(message)).await;
        let length = u8::try_from(message.len()).expect("short");
        let expected = [&[0x81, length], message.as_bytes()].concat();
        assert_eq!(self.read_exactly(expected.len()).await, expected);
    }
}
