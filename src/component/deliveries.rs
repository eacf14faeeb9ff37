//! Converts what connections do with a publication to the WIT types.

use alloc::vec::Vec;

use super::bindings::handler::exports::wasocket::websocket::websocket_handler as wit;
use super::effects::READY;
use crate::protocol::Instant;
use crate::session::{Delivered, Deliveries, Effects};
use crate::topics::Form;

impl From<Deliveries> for wit::Deliveries {
    fn from(deliveries: Deliveries) -> Self {
        let mut output = Vec::new();
        let exception = |(index, delivered)| wit::Exception {
            // A list has no more in a 32-bit memory.
            index: index as u32,
            effect: match delivered {
                Delivered::Form(number) => wit::ExceptionEffect::Form(number),
                Delivered::Effects(effects) => {
                    wit::ExceptionEffect::Outcome(outcome(effects, &mut output))
                }
            },
        };
        Self {
            exceptions: deliveries.exceptions.into_iter().map(exception).collect(),
            forms: deliveries.forms.into_iter().map(Into::into).collect(),
            shared: deliveries.shared,
            output,
            wake_others: READY.take(),
        }
    }
}

impl From<Form> for wit::Form {
    fn from(Form { number, bytes }: Form) -> Self {
        Self {
            number,
            bytes: bytes.into(),
        }
    }
}

/// The effects of one connection, whose output is appended to that of the others.
pub(super) fn outcome(effects: Effects, output: &mut Vec<u8>) -> wit::Outcome {
    // A 32-bit memory holds no more.
    let output_length = effects.output.len() as u32;
    if output.is_empty() {
        *output = effects.output;
    } else {
        output.extend_from_slice(&effects.output);
    }
    wit::Outcome {
        output_length,
        wake_at: effects.wake_at.map(Instant::as_nanos),
        next: effects.next.into(),
        topics: effects.topics.into_iter().map(Into::into).collect(),
    }
}
