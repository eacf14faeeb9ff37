use alloc::boxed::Box;
use core::mem;

use bytes::{Bytes, BytesMut};

use super::pieces::Pieces;
use super::{Connection, Event, Role};
use crate::protocol::ProtocolError;
use crate::protocol::frame::{Decoded, Expected, Header, Opcode, apply_mask};
use crate::protocol::message::{MessageType, PartialMessage};

/// The most pings in one input that are answered one by one, so that a flood of pings does not become a flood
/// of pongs.
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
    /// Processes the next part of the input.
    pub(super) fn step(&mut self) -> Result<Step, ProtocolError> {
        if self.is_decoding() {
            return self.decode_piece();
        }
        match self.frame.take() {
            None => self.receive_header(),
            Some(frame) => self.receive_payload(frame),
        }
    }

    /// Keeps the few bytes of an incomplete header, and releases the buffer they came in.
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
        // Pings and pongs cost as much as messages do. Further fragments have a limit of their own.
        if !matches!(header.opcode, Opcode::Continuation | Opcode::Close) {
            self.bounds.message(self.now)?;
        }
        self.receive_payload(Frame {
            header,
            received: 0,
        })
    }

    fn expected(&self) -> Expected {
        // A message in progress keeps the limits it began with.
        let (limits, received, is_encoded) = match (&self.message, &self.pieces) {
            (Some(message), _) => {
                let received = message.received() as u64;
                (message.limits(), received, message.is_encoded())
            }
            (_, Some(pieces)) => (pieces.limits(), pieces.received(), pieces.is_encoded()),
            (None, None) => (self.limits().of_message(), 0, false),
        };
        let mut max_message_size = limits.max_message_size as u64;
        let mut max_frame_size = limits.max_frame_size as u64;
        let in_pieces = self.pieces.is_some() || (self.streams && self.message.is_none());
        if let Some(size) = limits.max_streamed_size.filter(|_| in_pieces) {
            (max_message_size, max_frame_size) = (size, size);
        }
        let plain = max_message_size
            .saturating_sub(received)
            .min(max_frame_size);
        // The limits count decoded bytes, but data that decodes to nothing must not go on forever.
        let encoded = with_overhead(max_message_size)
            .saturating_sub(received)
            .min(with_overhead(max_frame_size));
        Expected {
            masked: matches!(self.role, Role::Server),
            continuation: self.message.is_some() || self.pieces.is_some(),
            reserved_bits: self.extensions.reserved_bits(),
            max_payload: if is_encoded { encoded } else { plain },
            max_encoded_payload: encoded,
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
        } else if let Some(event) = self.data_piece(header, piece, complete)? {
            return Ok(Step::Event(event));
        }
        Ok(if complete || self.is_decoding() {
            Step::Progress
        } else {
            Step::NeedMore
        })
    }

    /// The available part of the frame's payload, unmasked.
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

    /// Adds part of a data frame's payload to the message. Yields the message if that was the last part, or
    /// the piece that is ready.
    fn data_piece(
        &mut self,
        header: Header,
        piece: BytesMut,
        complete: bool,
    ) -> Result<Option<Event>, ProtocolError> {
        let last = complete && header.fin;
        if complete || !piece.is_empty() {
            self.age.active(self.now);
        }
        if self.pieces.is_some() {
            return self.push_piece(piece, last, complete);
        }
        let mut message = match (self.message.take(), header.opcode) {
            (Some(message), _) => message,
            (None, opcode) => {
                let message_type = match opcode {
                    Opcode::Text => MessageType::Text,
                    _ => MessageType::Binary,
                };
                if last && header.reserved_bits == 0 {
                    let message = message_type.whole(piece.freeze())?;
                    return Ok(Some(Event::Message(message)));
                }
                if self.streams {
                    let pieces = Pieces::new(message_type, header.reserved_bits, self.limits());
                    self.pieces = Some(Box::new(pieces));
                    return self.push_piece(piece, last, complete);
                }
                PartialMessage::new(message_type, header.reserved_bits, self.limits())
            }
        };
        message.push(&piece, last, &mut self.extensions)?;
        if last {
            return Ok(Some(Event::Message(message.finish()?)));
        }
        if complete {
            message.end_fragment()?;
        }
        self.message = Some(message);
        Ok(None)
    }

    /// The same for a message that is delivered in pieces.
    fn push_piece(
        &mut self,
        piece: BytesMut,
        last: bool,
        complete: bool,
    ) -> Result<Option<Event>, ProtocolError> {
        let Some(mut pieces) = self.pieces.take() else {
            return Ok(None);
        };
        let piece = pieces.push(piece, last)?;
        if complete && !last {
            pieces.end_fragment()?;
        }
        self.pieces = (!pieces.is_done()).then_some(pieces);
        Ok(piece.map(Event::Piece))
    }

    /// Whether something has to be decoded before more input is taken.
    fn is_decoding(&self) -> bool {
        self.pieces
            .as_ref()
            .is_some_and(|pieces| pieces.is_pending())
    }

    /// Decodes more of a message that is delivered in pieces.
    fn decode_piece(&mut self) -> Result<Step, ProtocolError> {
        let Some(mut pieces) = self.pieces.take() else {
            return Ok(Step::Progress);
        };
        let piece = pieces.decode(&mut self.extensions)?;
        self.pieces = (!pieces.is_done()).then_some(pieces);
        Ok(piece.map_or(Step::Progress, |piece| Step::Event(Event::Piece(piece))))
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

/// The largest size that incompressible data of this size may grow to: a 256th more, and a little.
fn with_overhead(size: u64) -> u64 {
    size.saturating_add(size / 256).saturating_add(64)
}
