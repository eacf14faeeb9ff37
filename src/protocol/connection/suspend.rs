use super::age::Age;
use super::keepalive::Keepalive;
use super::{Connection, Role};
use core::time::Duration;

use crate::protocol::extension::{DeflateOptions, Extensions};
use crate::protocol::{Instant, Limits, Reader, ResumeError, Writer};

/// When to ping the peer of a suspended connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepaliveTerms {
    pub(crate) ping_at: Instant,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// When the connection has something else to do.
    pub(crate) wake_at: Option<Instant>,
}

impl Connection {
    /// Writes the whole state of the connection except its limits. `None` if it is not at rest, or is a
    /// client's, whose masking keys must not be stored.
    pub(crate) fn suspend(&self, now: Instant, state: &mut Writer) -> Option<()> {
        if !self.is_at_rest() {
            return None;
        }
        state.number(self.messages_received);
        state.number(self.messages_sent);
        self.keepalive.suspend(now, state);
        self.age.suspend(now, state);
        self.extensions.suspend(state)
    }

    /// How to check that the peer is still there while the connection is suspended; `None` if it is not to be pinged, or
    /// has yet to answer a ping.
    pub(crate) fn keepalive(&self) -> Option<KeepaliveTerms> {
        let (interval, timeout) = self.keepalive.times();
        Some(KeepaliveTerms {
            ping_at: self.keepalive.ping_at()?,
            interval,
            timeout,
            wake_at: self.age.due(),
        })
    }

    /// Notes what came of the pings that the host sent while the connection was suspended.
    pub(crate) fn kept_alive(&mut self, answered: Option<Instant>, pinged: Option<Instant>) {
        self.keepalive.kept(answered, pinged);
    }

    /// Whether the connection is open, between messages, with nothing left to send or to report.
    fn is_at_rest(&self) -> bool {
        let has_received_all = self.input.is_empty()
            && self.frame.is_none()
            && self.message.is_none()
            && self.pieces.is_none()
            && !self.streams
            && self.ending.is_none();
        let has_sent_all =
            self.output.is_empty() && self.outgoing.is_none() && self.late_pong.is_none();
        let is_server = matches!(self.role, Role::Server);
        is_server && self.is_open() && has_received_all && has_sent_all
    }

    /// Reads what [`suspend`](Self::suspend) has written at this instant.
    pub(crate) fn resume(
        at: Instant,
        limits: Limits,
        options: &DeflateOptions,
        state: &mut Reader<'_>,
    ) -> Result<Self, ResumeError> {
        Ok(Self {
            now: at,
            messages_received: count(state)?,
            messages_sent: count(state)?,
            keepalive: Keepalive::resume(at, &limits, state)?,
            age: Age::resume(at, &limits, state)?,
            extensions: Extensions::resume(options, state)?,
            ..Self::server(limits)
        })
    }
}

/// A count to continue from. At most half the range, which is more than any connection reaches, so that it
/// cannot overflow.
fn count(state: &mut Reader<'_>) -> Result<u64, ResumeError> {
    match state.number()? {
        count if count <= u64::MAX / 2 => Ok(count),
        _ => Err(ResumeError::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::time::Duration;

    use super::*;
    use crate::protocol::extension::{Agreed, PermessageDeflate, WindowBits};
    use crate::protocol::frame::MaskingKeys;
    use crate::protocol::{Event, Message, ProtocolError};

    const NOW: Instant = Instant::from_nanos(1 << 40);

    /// Both ends of a connection with context takeover in both directions.
    fn ends(limits: Limits, agreed: Agreed) -> (Connection, Connection) {
        let options = options();
        let server = Connection::server(limits);
        let client = Connection::client(Limits::default(), MaskingKeys::from_seed([7; 32]));
        (
            server.with_extensions(PermessageDeflate::server(agreed, &options).into()),
            client.with_extensions(PermessageDeflate::client(agreed, &options).into()),
        )
    }

    fn options() -> DeflateOptions {
        DeflateOptions {
            threshold: 0,
            ..DeflateOptions::default()
        }
    }

    fn state(connection: &Connection, now: Instant) -> Option<Vec<u8>> {
        let mut state = Writer::default();
        connection.suspend(now, &mut state)?;
        Some(state.0)
    }

    fn resume(state: &[u8], at: Instant, limits: Limits) -> Result<Connection, ResumeError> {
        let mut reader = Reader(state);
        let connection = Connection::resume(at, limits, &options(), &mut reader)?;
        reader.end()?;
        Ok(connection)
    }

    /// Sends a message from one end to the other, and returns the number of bytes it took.
    fn say(from: &mut Connection, to: &mut Connection, text: &str) -> usize {
        from.send_text(text).expect("open");
        let bytes = from.take_output();
        let len = bytes.len();
        to.receive_bytes(NOW, &bytes[..]);
        assert_eq!(to.next_event(), Some(Event::Message(Message::from(text))));
        assert_eq!(to.next_event(), None);
        len
    }

    #[test]
    fn messages_refer_back_across_a_suspension() {
        // Nothing in it repeats, so a short payload must refer to the message before.
        let text: String = (0..200_u32)
            .map(|i| char::from(b'!' + (i * i % 89) as u8))
            .collect();
        let (mut server, mut client) = ends(Limits::default(), Agreed::default());
        let first = say(&mut client, &mut server, &text);
        assert!(say(&mut client, &mut server, &text) < first / 2);
        let answer = say(&mut server, &mut client, &text);
        for _ in 0..3 {
            let state = state(&server, NOW).expect("at rest");
            server = resume(&state, NOW, Limits::default()).expect("a state");
            assert!(say(&mut client, &mut server, &text) < first / 2);
            // Our window starts empty, which the client does not notice; then it refers back again.
            assert_eq!(say(&mut server, &mut client, &text), answer);
            assert!(say(&mut server, &mut client, &text) < answer / 2);
        }
    }

    #[test]
    fn keeps_no_more_than_the_agreed_window() {
        let bits = WindowBits::new(9).expect("9 bits");
        let agreed = Agreed {
            client_max_window_bits: bits,
            ..Agreed::default()
        };
        let (mut server, mut client) = ends(Limits::default(), agreed);
        for i in 0..40 {
            say(
                &mut client,
                &mut server,
                &alloc::format!("message {i} of several"),
            );
        }
        let small = state(&server, NOW).expect("at rest");
        assert!(small.len() > 512 && small.len() < 600, "{}", small.len());
        server = resume(&small, NOW, Limits::default()).expect("a state");
        say(&mut client, &mut server, "message 39 of several");
        let (mut server, mut client) = ends(Limits::default(), Agreed::default());
        for i in 0..4000 {
            say(
                &mut client,
                &mut server,
                &alloc::format!("message {i} of several"),
            );
        }
        let mut large = state(&server, NOW).expect("at rest");
        assert!(large.len() > 32 << 10 && large.len() < 33 << 10);
        assert!(resume(&large, NOW, Limits::default()).is_ok());
        // 15 bits in the extension's layout, whose last part is the window.
        let at = large.len() - (32 << 10) - 3;
        assert_eq!(large[at], 15);
        large[at] = 14;
        let refused = resume(&large, NOW, Limits::default()).err();
        assert_eq!(refused, Some(ResumeError::Invalid));
    }

    /// Without the stored window the next message cannot be read.
    #[test]
    fn a_lost_window_is_noticed() {
        let (mut server, mut client) = ends(Limits::default(), Agreed::default());
        say(&mut client, &mut server, "Hello, Hello");
        let state = state(&server, NOW).expect("at rest");
        let (whole, window) = state.split_at(state.len() - 12);
        assert_eq!(window, b"Hello, Hello");
        let (rest, length) = whole.split_at(whole.len() - 2);
        assert_eq!(length, [12, 0]);
        let without = [rest, &[0, 0]].concat();
        server = resume(&without, NOW, Limits::default()).expect("a state");
        client.send_text("Hello, Hello").expect("open");
        server.receive_bytes(NOW, &client.take_output()[..]);
        let failed = crate::Closed::Failed(ProtocolError::InvalidCompression);
        assert_eq!(server.next_event(), Some(Event::Closed(failed)));
    }

    #[test]
    fn does_not_suspend_inside_a_message_or_a_client() {
        let (mut server, mut client) = ends(Limits::default(), Agreed::default());
        assert_eq!(state(&client, NOW), None);
        assert!(state(&server, NOW).is_some());
        server.send_text("not sent").expect("open");
        assert_eq!(state(&server, NOW), None);
        client.receive_bytes(NOW, &server.take_output()[..]);
        server
            .start_message(crate::MessageType::Text)
            .expect("open");
        assert_eq!(state(&server, NOW), None);
        server.send_fragment(b"a").expect("open");
        let _ = server.take_output();
        assert_eq!(state(&server, NOW), None);
        server.end_message().expect("open");
        let _ = server.take_output();
        assert!(state(&server, NOW).is_some());
        server.stream_messages(true);
        assert_eq!(state(&server, NOW), None);
    }

    #[test]
    fn age_continues_after_a_suspension() {
        let seconds = Duration::from_secs;
        let limits = Limits {
            ping_interval: None,
            idle_timeout: Some(seconds(30)),
            max_lifetime: Some(seconds(100)),
            ..Limits::default()
        };
        let (mut server, mut client) = ends(limits, Agreed::default());
        server.receive_bytes(NOW.before(seconds(80)), &b""[..]);
        assert_eq!(server.next_event(), None);
        say(&mut client, &mut server, "a");
        let later = NOW.after(seconds(5));
        let state = state(&server, later).expect("at rest");
        let elsewhere = Instant::from_nanos(1 << 50);
        let mut server = resume(&state, elsewhere, limits).expect("a state");
        // 15 seconds of its lifetime are left, and 25 until it is idle for too long.
        assert_eq!(server.deadline(), Some(elsewhere.after(seconds(15))));
        let long = Limits {
            max_lifetime: None,
            ..limits
        };
        let idle = resume(&state, elsewhere, long).expect("a state");
        assert_eq!(idle.deadline(), Some(elsewhere.after(seconds(25))));
        server.handle_timeout(elsewhere.after(seconds(15)), 0);
        assert_eq!(server.report().closing.map(|end| end.code), Some(1012));
        // The limits that it is resumed with apply.
        let pinged = resume(&state, elsewhere, Limits::default()).expect("a state");
        assert_eq!(pinged.deadline(), Some(elsewhere.after(seconds(20))));
    }
}
