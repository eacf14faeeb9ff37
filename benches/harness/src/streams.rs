//! WebSockets on the streams of one HTTP/2 connection (RFC 8441).

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::Result;
use crate::echoes::Echoes;
use crate::messages::Messages;

/// The longest time for a server to handle all visitors of a round.
const PATIENCE: Duration = Duration::from_secs(10);

/// A Close frame with code 1000, and the answer to it.
const CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";
const CLOSED: &[u8] = b"\x88\x02\x03\xe8";

/// A window large enough for all streams, so that none of them holds up the others.
const WINDOW: u32 = 8 << 20;

/// A connection for WebSockets.
pub struct Streams {
    requests: SendRequest<Bytes>,
    io: JoinHandle<Result<(), h2::Error>>,
}

impl Drop for Streams {
    /// Ends the connection at once, whatever is in progress.
    fn drop(&mut self) {
        self.io.abort();
    }
}

impl Streams {
    /// Connects, with prior knowledge (RFC 9113 §3.3).
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, or does not serve WebSockets this way.
    pub async fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut settings = Builder::new();
        let handshake = settings.initial_connection_window_size(WINDOW);
        let (requests, io) = handshake.handshake(stream).await?;
        let it = Self {
            requests,
            io: tokio::spawn(io),
        };
        timeout(PATIENCE, it.settings())
            .await
            .map_err(|_| "no WebSockets over HTTP/2")?;
        Ok(it)
    }

    /// Waits until the server has announced extended CONNECT (RFC 8441 §3).
    async fn settings(&self) {
        while !self.requests.is_extended_connect_protocol_enabled() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Opens this number of WebSockets at once, has each message of a ring echoed on each, and ends them: every fourth
    /// by a reset in the middle of a message, and the others by a closing handshake.
    ///
    /// # Errors
    ///
    /// When one of them fails, or is late.
    pub async fn visit(&mut self, visitors: usize, messages: &Messages) -> Result<()> {
        let visit = timeout(PATIENCE, self.converse(visitors, messages));
        visit.await.map_err(|_| "the streams stall")?
    }

    async fn converse(&mut self, visitors: usize, messages: &Messages) -> Result<()> {
        let mut open = Vec::with_capacity(visitors);
        for _ in 0..visitors {
            open.push(self.open().await?);
        }
        for _ in 0..messages.count() {
            for visitor in &mut open {
                visitor.send(messages).await?;
            }
            for visitor in &mut open {
                visitor.receive(messages).await?;
            }
        }
        for (number, visitor) in open.into_iter().enumerate() {
            match number % 4 {
                0 => visitor.reset(messages).await?,
                _ => visitor.close().await?,
            }
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<Visitor> {
        let request = Request::connect("http://localhost/echo")
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(())?;
        let mut requests = self.requests.clone().ready().await?;
        let (response, outgoing) = requests.send_request(request, false)?;
        let (head, incoming) = response.await?.into_parts();
        match head.status {
            StatusCode::OK => Ok(Visitor {
                outgoing,
                incoming,
                echoes: Echoes::default(),
                at: 0,
                next: 0,
            }),
            status => Err(format!("a WebSocket on a stream is refused: {status}").into()),
        }
    }
}

/// One WebSocket.
struct Visitor {
    outgoing: SendStream<Bytes>,
    incoming: RecvStream,
    echoes: Echoes,
    /// The position of the next frame in the messages' frames, and its index.
    at: usize,
    next: usize,
}

impl Visitor {
    /// Sends the next message.
    async fn send(&mut self, messages: &Messages) -> Result<()> {
        let length = messages.frame_length(self.next);
        self.write(messages.frames(self.at, length)).await?;
        self.at = messages.advance(self.at, length);
        self.next = (self.next + 1) % messages.count();
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.outgoing.reserve_capacity(bytes.len());
            let room = poll_fn(|context| self.outgoing.poll_capacity(context)).await;
            let room = room.ok_or("the stream has ended")??;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.outgoing
                .send_data(Bytes::copy_from_slice(now), false)?;
            bytes = later;
        }
        Ok(())
    }

    /// Waits until a message is back.
    async fn receive(&mut self, messages: &Messages) -> Result<()> {
        loop {
            let data = self.read().await?.ok_or("a stream ends before its echo")?;
            if self.echoes.receive(&data, messages)? > 0 {
                return Ok(());
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        let data = self.incoming.data().await.transpose()?;
        if let Some(data) = &data {
            self.incoming.flow_control().release_capacity(data.len())?;
        }
        Ok(data)
    }

    /// Sends a Close frame, and waits for the server's.
    async fn close(mut self) -> Result<()> {
        self.write(CLOSE).await?;
        let mut answer = Vec::new();
        while let Some(data) = self.read().await? {
            answer.extend(data);
        }
        if answer.ends_with(CLOSED) {
            Ok(())
        } else {
            Err(format!("no answer to a Close frame on a stream, but {answer:?}").into())
        }
    }

    /// Ends in the middle of a message.
    async fn reset(mut self, messages: &Messages) -> Result<()> {
        let length = messages.frame_length(self.next);
        self.write(messages.frames(self.at, length / 2)).await?;
        self.outgoing.send_reset(Reason::CANCEL);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Response;
    use tokio::net::TcpListener;
    use tokio::runtime::Builder as Runtime;

    use super::*;
    use crate::cell::{Cell, Content};

    /// What a server does with a WebSocket.
    #[derive(Clone, Copy, Debug)]
    enum Behaviour {
        Refuse,
        /// Sends something other than it received.
        Alter,
        /// Ends the stream.
        End,
    }

    /// Serves one connection.
    async fn serve(listener: TcpListener, behaviour: Behaviour) -> Result<()> {
        let (stream, _) = listener.accept().await?;
        let mut settings = h2::server::Builder::new();
        settings.enable_connect_protocol();
        let mut connection = settings.handshake::<_, Bytes>(stream).await?;
        // Dropping one resets its stream.
        let mut requests = Vec::new();
        while let Some(request) = connection.accept().await {
            let (request, mut respond) = request?;
            requests.push(request);
            let (status, said) = match behaviour {
                Behaviour::Refuse => (404, &b""[..]),
                Behaviour::Alter => (200, &b"\x81\x10not what was said"[..]),
                Behaviour::End => (200, &b""[..]),
            };
            let response = Response::builder().status(status).body(())?;
            let mut stream = respond.send_response(response, false)?;
            stream.send_data(Bytes::from_static(said), true)?;
        }
        Ok(())
    }

    async fn visit(behaviour: Behaviour) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = async move {
            serve(listener, behaviour)
                .await
                .map_err(|error| error.to_string())
        };
        let server = tokio::spawn(server);
        let messages = Messages::new(&Cell::new(2, 16, Content::Text)).all_compared();
        let outcome = Streams::connect(address).await?.visit(2, &messages).await;
        server.abort();
        outcome
    }

    #[test]
    fn a_server_that_does_not_echo_fails() {
        let runtime = Runtime::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        for (behaviour, expected) in [
            (Behaviour::Refuse, "404"),
            (Behaviour::Alter, "came back"),
            (Behaviour::End, "ends before its echo"),
        ] {
            let outcome = runtime.block_on(visit(behaviour));
            let error = outcome.expect_err("an error").to_string();
            assert!(error.contains(expected), "{behaviour:?}: {error}");
        }
    }
}
