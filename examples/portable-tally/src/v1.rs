//! The first version.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use wasocket::Message;
use wasocket::events::{Context, EventHandler, State, StateError};

wasocket::export_events!(Tally);

struct Tally;

/// The state of a connection, as text: the number of its messages.
#[derive(Default)]
struct Counted {
    messages: u64,
}

impl EventHandler for Tally {
    type State = Counted;

    fn message(&self, _: Message, cx: &mut Context<'_, Counted>) {
        cx.state.messages += 1;
        cx.send(format!("messages: {}", cx.state.messages));
    }
}

impl State for Counted {
    fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let text = str::from_utf8(bytes).map_err(|_| StateError)?;
        let messages = text.parse().map_err(|_| StateError)?;
        Ok(Self { messages })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        Ok(self.messages.to_string().into_bytes())
    }
}
