use alloc::string::String;

/// The outcome of a connection, for the operator's log: `report` of the WIT package. Nothing of it is sent to
/// the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of whole messages received from the peer; zero for a raw socket.
    pub messages_received: u64,
    /// The number of whole messages sent to the peer.
    pub messages_sent: u64,
    /// How the WebSocket ended; `None` while it is open, and for a raw socket.
    pub closing: Option<Closing>,
    /// The app's fault: the rule it broke, or the error its function ended with. At most
    /// [`MAX_FAULT`](Self::MAX_FAULT) bytes.
    pub fault: Option<String>,
}

impl Report {
    /// The longest text of a fault, in bytes.
    pub const MAX_FAULT: usize = 4096;

    /// The same report with a fault, cut to the longest text.
    #[must_use]
    pub fn with_fault(mut self, fault: Option<String>) -> Self {
        self.fault = fault.map(shortened);
        self
    }
}

/// The text of a fault, cut to the longest allowed.
pub(crate) fn shortened(mut fault: String) -> String {
    fault.truncate(fault.floor_char_boundary(Report::MAX_FAULT));
    fault
}

/// How a WebSocket ended: the first cause counts, so the answer to a Close frame changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The side that ended it.
    pub initiator: Initiator,
    /// The code of the first Close frame; 1005 if it had no code, 1006 if there was no Close frame (RFC 6455
    /// §7.1.5).
    pub code: u16,
    /// The reason in that Close frame; if there was no Close frame, what happened instead.
    pub reason: String,
}

/// The side that ended a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// The peer: its Close frame, the end of its stream, or the loss of the socket.
    Peer,
    /// The app, by intent or by a fault of its own.
    App,
    /// The protocol: the peer broke a rule or a limit.
    Protocol,
    /// The host, because it is stopping.
    Host,
}
