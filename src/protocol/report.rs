use alloc::string::String;

/// What became of a connection, for the log of who runs the app: `report` of the WIT package. The peer is
/// sent none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many whole messages came from the peer; none of a raw socket.
    pub messages_received: u64,
    /// How many whole messages were put out to the peer.
    pub messages_sent: u64,
    /// How the WebSocket ended; none while it is open, and none of a raw socket.
    pub closing: Option<Closing>,
    /// What the app has done wrong: which rule it broke, or with which error its function ended. At most
    /// [`MAX_FAULT`](Self::MAX_FAULT) bytes.
    pub fault: Option<String>,
}

impl Report {
    /// The longest text of a fault, in bytes.
    pub const MAX_FAULT: usize = 1024;

    /// The same report with a fault, of which the beginning is kept.
    #[must_use]
    pub fn with_fault(mut self, fault: Option<String>) -> Self {
        self.fault = fault.map(shortened);
        self
    }
}

/// The beginning of a text on a fault.
pub(crate) fn shortened(mut fault: String) -> String {
    fault.truncate(fault.floor_char_boundary(Report::MAX_FAULT));
    fault
}

/// How a WebSocket ended: what was first. The answer to a Close frame changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Whose doing it was.
    pub initiator: Initiator,
    /// The code of that Close frame; 1005 if it had none, 1006 if there was no Close frame (RFC 6455 §7.1.5).
    pub code: u16,
    /// The reason in that Close frame; if there was none, what happened instead.
    pub reason: String,
}

/// Whose doing the end of a WebSocket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// The peer's: its Close frame, the end of its stream, the loss of the socket.
    Peer,
    /// The app's, a fault of its own included.
    App,
    /// That of a rule or a limit which the peer did not keep to.
    Protocol,
    /// That of the host, which stops.
    Host,
}
