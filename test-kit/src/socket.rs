use std::fmt;
use std::mem;

use wasocket::{Disposition, Instant, Report, ShutdownReason};

use crate::Kit;
use crate::host::peer::Peer;

/// A socket that the app has taken over, from the peer's end: bytes to it, bytes from it.
///
/// Dropping the value does not affect the socket.
#[derive(Clone)]
pub struct Socket {
    kit: Kit,
    id: usize,
}

impl Socket {
    pub(crate) fn new(kit: Kit, id: usize) -> Self {
        Self { kit, id }
    }

    pub(crate) fn kit(&self) -> &Kit {
        &self.kit
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    /// Sends bytes. The app receives them once it accepts input: not while it is paused, and not while
    /// it has unsent output.
    #[track_caller]
    pub fn send_bytes(&self, bytes: &[u8]) {
        self.kit.with(|host| {
            host.peer_mut(self.id).send(bytes);
            host.settle()
        });
    }

    /// Finishes sending.
    #[track_caller]
    pub fn end_of_stream(&self) {
        self.kit.with(|host| host.end_stream(self.id));
    }

    /// Makes the socket fail.
    #[track_caller]
    pub fn lost(&self) {
        self.kit.with(|host| {
            host.lose(self.id);
            host.settle()
        });
    }

    /// Asks the connection to end. Has no effect the second time.
    #[track_caller]
    pub fn shutdown(&self, reason: ShutdownReason) {
        self.kit.with(|host| host.shutdown(self.id, reason));
    }

    /// Wakes the connection without need, as a host may.
    #[track_caller]
    pub fn wake(&self) {
        self.kit.with(|host| {
            host.wake(self.id)?;
            host.settle()
        });
    }

    /// Makes the peer stop reading: output stays unsent, and the app gets no input.
    pub fn block(&self) {
        self.kit.with(|host| {
            host.peer_mut(self.id).is_blocked = true;
            Ok(())
        });
    }

    /// Makes the peer read again: it accepts all unsent output, and the app is woken if there was any.
    #[track_caller]
    pub fn unblock(&self) {
        self.kit.with(|host| host.unblock(self.id));
    }

    /// The bytes sent to the peer since the last call. A takeover begins with the head of its response, if it has one.
    #[must_use]
    pub fn output(&self) -> Vec<u8> {
        self.kit
            .with(|host| Ok(mem::take(&mut host.peer_mut(self.id).output)))
    }

    /// The number of bytes of the app's output that are unsent.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.look(Peer::unsent)
    }

    /// What the app last asked the host to do with the socket. A failure of the app or the socket does not change
    /// it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        self.look(|peer| peer.next)
    }

    /// When the app wants to be woken.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.look(|peer| peer.turn.wake_at().map(Instant::from_nanos))
    }

    /// Whether the app still has the connection: it has neither ended it nor failed, and the socket was
    /// not lost.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.look(|peer| peer.turn.is_open())
    }

    /// Whether the peer has seen the end of the stream, or the socket is lost.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.look(|peer| peer.is_closed)
    }

    /// The app's report on the connection, for the host's log: the number of messages, who ended it, and the app's
    /// fault. `None` until the connection has ended, and if its instance died.
    ///
    /// ```
    /// # use wasocket::{Error, Initiator, WebSocket, websocket};
    /// # use wasocket_test::Kit;
    /// let kit = Kit::native(websocket(async |ws: WebSocket| {
    ///     let _ = ws.receive::<String>().await;
    ///     Err::<(), Box<dyn std::error::Error>>("no such room".into())
    /// }));
    /// let client = kit.connect(wasocket_test::websocket("/"));
    /// client.send("hello");
    /// client.assert_closed(1011);
    /// let report = client.report().expect("the end");
    /// assert_eq!(report.fault.as_deref(), Some("no such room"));
    /// assert_eq!(report.messages_received, 1);
    /// assert_eq!(report.closing.expect("a WebSocket").initiator, Initiator::App);
    /// ```
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.look(|peer| peer.report.clone())
    }

    /// Asserts that these bytes were sent to the peer since the last call of this or [`output`](Self::output).
    #[track_caller]
    pub fn assert_output(&self, expected: &[u8]) {
        let output = self.output();
        assert!(
            output == expected,
            "expected the output {}, got {}",
            expected.escape_ascii(),
            output.escape_ascii()
        );
    }

    fn look<T>(&self, look: impl FnOnce(&Peer) -> T) -> T {
        self.kit.look(|host| look(host.peer(self.id)))
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.id)
            .field("disposition", &self.disposition())
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}
