use core::mem;

use bytes::{Bytes, BytesMut};

use super::{Connection, Event, Role};
use crate::frame::{Decoded, Expected, Header, Opcode, apply_mask};
use crate::message::{MessageType, PartialMessage};
use crate::{Limits, Message, ProtocolError};

/// The most pings that are answered one by one out of one input: a flood of pings need not become a
/// flood of pongs.
const MAX_PONGS: usize = 64;

/// The frame whose payload is being received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    header: Header,
    /// Payload bytes received so far.
    received: u64,
}

pub(super) enum Step {
    Event(Event),
    Progress,
    NeedMore,
    /// A Close frame, with its payload.
    Close(Bytes),
}

impl Connection {
    /// Takes the next piece of the input.
    pub(super) fn step(&mut self) -> Result<Step, ProtocolError> {
        match self.frame.take() {
            None => self.receive_header(),
            Some(frame) => self.receive_payload(frame),
        }
    }

    /// The input is used up but for an incomplete header, of which at most a few bytes are kept: the
    /// buffer they came in is let go.
    pub(super) fn end_of_input(&mut self) {
        self.input = BytesMut::from(&self.input[..]);
        if let Some(payload) = self.late_pong.take() {
            let _ = self.send_frame(Opcode::Pong, &payload);
        }
    }

    fn receive_header(&mut self) -> Result<Step, ProtocolError> {
        let Decoded::Done { header, consumed } = Header::decode(&self.input, self.expected())?
        else {
            return Ok(Step::NeedMore);
        };
        let _ = self.input.split_to(consumed);
        self.receive_payload(Frame {
            header,
            received: 0,
        })
    }

    fn expected(&self) -> Expected {
        let under_way = self.message.as_ref();
        let received = under_way.map_or(0, PartialMessage::received);
        let is_encoded = under_way.is_some_and(PartialMessage::is_encoded);
        let Limits {
            max_message_size,
            max_frame_size,
            ..
        } = self.limits;
        let plain = max_message_size
            .saturating_sub(received)
            .min(max_frame_size);
        // The limits count what is decoded; but what decodes to nothing must not go on for ever.
        let encoded = with_overhead(max_message_size)
            .saturating_sub(received)
            .min(with_overhead(max_frame_size));
        Expected {
            masked: matches!(self.role, Role::Server),
            continuation: under_way.is_some(),
            reserved_bits: self.extensions.reserved_bits(),
            max_payload: if is_encoded { encoded } else { plain } as u64,
            max_encoded_payload: encoded as u64,
        }
    }

    fn receive_payload(&mut self, mut frame: Frame) -> Result<Step, ProtocolError> {
        let header = frame.header;
        let piece = self.take_piece(&frame);
        frame.received += piece.len() as u64;
        let complete = frame.received == header.payload_len;
        if !complete {
            self.frame = Some(frame);
        }
        if header.opcode.is_control() {
            self.control.unsplit(piece);
            if complete {
                let payload = mem::take(&mut self.control).freeze();
                return Ok(self.control_frame(header.opcode, payload));
            }
        } else if let Some(message) = self.data_piece(header, piece, complete)? {
            return Ok(Step::Event(Event::Message(message)));
        }
        Ok(if complete {
            Step::Progress
        } else {
            Step::NeedMore
        })
    }

    /// As much of the frame's payload as there is, unmasked.
    fn take_piece(&mut self, frame: &Frame) -> BytesMut {
        let missing = frame.header.payload_len - frame.received;
        let available = self.input.len();
        let size = usize::try_from(missing).map_or(available, |missing| missing.min(available));
        let mut piece = self.input.split_to(size);
        if let Some(key) = frame.header.masking_key {
            apply_mask(key, frame.received, &mut piece);
        }
        piece
    }

    /// Adds a piece of a data frame's payload to the message; the message, if that was the last one.
    fn data_piece(
        &mut self,
        header: Header,
        piece: BytesMut,
        complete: bool,
    ) -> Result<Option<Message>, ProtocolError> {
        let last = complete && header.fin;
        let mut message = match (self.message.take(), header.opcode) {
            (Some(message), _) => message,
            (None, opcode) => {
                let message_type = match opcode {
                    Opcode::Text => MessageType::Text,
                    _ => MessageType::Binary,
                };
                if last && header.reserved_bits == 0 {
                    return message_type.whole(piece.freeze()).map(Some);
                }
                PartialMessage::new(message_type, header.reserved_bits, &self.limits)
            }
        };
        message.push(&piece, last, &mut self.extensions)?;
        if last {
            return message.finish().map(Some);
        }
        if complete {
            message.end_fragment()?;
        }
        self.message = Some(message);
        Ok(None)
    }

    fn control_frame(&mut self, opcode: Opcode, payload: Bytes) -> Step {
        match opcode {
            Opcode::Close => Step::Close(payload),
            Opcode::Ping => {
                self.answer_ping(&payload);
                Step::Event(Event::Ping(payload))
            }
            _ => Step::Event(Event::Pong(payload)),
        }
    }

    fn answer_ping(&mut self, payload: &Bytes) {
        if self.pongs < MAX_PONGS {
            self.pongs += 1;
            // RFC 6455 §5.5.2: a pong in answer "unless it already received a Close frame"; after our
            // own Close this sends nothing.
            let _ = self.send_frame(Opcode::Pong, payload);
        } else {
            // §5.5.3: an endpoint that has not answered earlier pings "MAY elect to send a Pong frame
            // for only the most recently processed Ping frame."
            self.late_pong = Some(payload.clone());
        }
    }
}

/// What data of this size may grow to where it cannot be compressed: a 256th and a little more.
fn with_overhead(size: usize) -> usize {
    size.saturating_add(size / 256).saturating_add(64)
}
