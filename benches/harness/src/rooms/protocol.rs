//! What a room's members and its server say in WebSocket messages.

/// A protocol of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Each text message is a publication.
    Plain,
    /// Socket.IO, version 5, on Engine.IO, version 4: the event `m` with a text is a publication.
    SocketIo,
}

/// What a text message from the server is.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A publication, or something that is none.
    Publication,
    /// It needs this answer, if any.
    Control(Option<&'static str>),
}

impl Protocol {
    /// The path to connect to: to be a member, or to be connected only.
    pub fn path(self, is_member: bool) -> &'static str {
        match (self, is_member) {
            (Self::Plain, true) => "/room",
            (Self::Plain, false) => "/idle",
            (Self::SocketIo, true) => "/socket.io/?EIO=4&transport=websocket",
            (Self::SocketIo, false) => "/socket.io/?EIO=4&transport=websocket&idle=1",
        }
    }

    /// The text message that publishes this text, which needs no escapes in JSON, and that each member gets.
    pub fn wrap(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::SocketIo => format!("42[\"m\",\"{text}\"]"),
        }
    }

    /// What to do with a text message from the server.
    pub fn meaning(self, text: &[u8]) -> Meaning {
        match (self, text) {
            (Self::Plain, _) => Meaning::Publication,
            // Engine.IO's `open`: now the client connects.
            (Self::SocketIo, [b'0', ..]) => Meaning::Control(Some("40")),
            // Socket.IO's `CONNECT`: it is connected.
            (Self::SocketIo, [b'4', b'0', ..]) => Meaning::Control(None),
            // `ping` and `pong`.
            (Self::SocketIo, b"2") => Meaning::Control(Some("3")),
            (Self::SocketIo, _) => Meaning::Publication,
        }
    }

    /// Whether a connection is ready once it has got this control message; `None` if it is without any.
    pub fn is_ready(self, text: &[u8]) -> Option<bool> {
        match self {
            Self::Plain => None,
            Self::SocketIo => Some(text.starts_with(b"40")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_of_socket_io_is_no_control_message() {
        let text = Protocol::SocketIo.wrap("00000001abc");
        assert_eq!(text, r#"42["m","00000001abc"]"#);
        let meaning = Protocol::SocketIo.meaning(text.as_bytes());
        assert_eq!(meaning, Meaning::Publication);
        assert_eq!(
            Protocol::SocketIo.meaning(b"2"),
            Meaning::Control(Some("3"))
        );
    }
}
