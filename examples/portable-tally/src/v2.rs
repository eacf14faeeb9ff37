//! The second version.

use alloc::format;
use alloc::vec::Vec;

use wasocket::Message;
use wasocket::events::{Context, EventHandler, State, StateError};

wasocket::export_events!(Tally);

struct Tally;

/// The state of a connection, as text: the number of its messages, a space, and the number of their bytes.
#[derive(Default)]
struct Counted {
    messages: u64,
    bytes: u64,
}

impl EventHandler for Tally {
    type State = Counted;

    fn message(&self, message: Message, cx: &mut Context<'_, Counted>) {
        cx.state.messages += 1;
        cx.state.bytes += message.as_bytes().len() as u64;
        let Counted { messages, bytes } = cx.state;
        cx.send(format!("messages: {messages}, bytes: {bytes}"));
    }
}

impl State for Counted {
    /// Also reads the state of the first version, which did not count the bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let text = str::from_utf8(bytes).map_err(|_| StateError)?;
        let (messages, bytes) = text.split_once(' ').unwrap_or((text, "0"));
        Ok(Self {
            messages: messages.parse().map_err(|_| StateError)?,
            bytes: bytes.parse().map_err(|_| StateError)?,
        })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        let Self { messages, bytes } = self;
        Ok(format!("{messages} {bytes}").into_bytes())
    }
}
