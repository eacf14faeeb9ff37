//! How an endpoint that echoes every message must respond to raw input, as data: the vectors of Wasocket, a
//! reader of their notation, and the comparison. `README.md` in this package describes them.
//!
//! ```
//! let vectors = wasocket_vectors::frames();
//! let hello = &vectors[0];
//! assert_eq!(hello.name, "single-frame masked text");
//! assert_eq!(hello.bytes()[..2], [0x81, 0x85]);
//! // What came back from the endpoint under test:
//! assert_eq!(hello.compare(b"\x81\x05Hello", wasocket_vectors::Then::Open), Ok(()));
//! assert!(hello.compare(b"\x88\x02\x03\xe8", wasocket_vectors::Then::Closed).is_err());
//! ```

mod actions;
mod frame;
mod frames;
mod handshakes;
mod mismatch;
mod notation;
mod turns;

pub use actions::{ACTIONS, Action, ActionVector, actions};
pub use frame::Frame;
pub use frames::{FRAMES, FrameVector, Then, frames};
pub use handshakes::{
    HANDSHAKES, HTTP2_HANDSHAKES, HandshakeVector, Http2Head, handshakes, http2_handshakes,
    parsed_handshakes,
};
pub use mismatch::Mismatch;
pub use turns::{Sequence, TURNS, Turns, turns};

/// Field lines.
pub type Fields = Vec<(String, Vec<u8>)>;

#[cfg(test)]
mod tests {
    use super::notation::decode;
    use super::*;

    #[test]
    fn the_data_is_well_formed() {
        let handshakes: Vec<HandshakeVector> =
            serde_json::from_str(HANDSHAKES).expect("handshakes.json");
        for HandshakeVector {
            name, request, has, ..
        } in &handshakes
        {
            let text = request.concat() + &has.concat();
            assert!(text.chars().all(|char| u32::from(char) < 256), "{name}");
            let mut lines = request.iter().skip(1).chain(has);
            assert!(lines.all(|line| line.contains(':')), "{name}");
        }
        assert!(
            handshakes
                .iter()
                .all(|v| v.raw.is_empty() != v.request.is_empty())
        );
        let frames: Vec<FrameVector> = serde_json::from_str(FRAMES).expect("frames.json");
        for vector in &frames {
            let name = &vector.name;
            assert!(
                decode(&vector.send).is_some_and(|bytes| !bytes.is_empty()),
                "{name}"
            );
            assert_eq!(vector.frames().len(), vector.receive.len(), "{name}");
        }
        assert!(handshakes.len() > 300 && frames.len() > 100);
        let http2: Vec<HandshakeVector> =
            serde_json::from_str(HTTP2_HANDSHAKES).expect("http2.json");
        assert!(http2.iter().all(|v| !v.parse_http2().path.is_empty()));
        assert!(http2.len() > 20);
        let turns: Turns = serde_json::from_str(TURNS).expect("turns.json");
        let mut rows = turns.transitions.iter();
        assert!(rows.all(|(state, ..)| turns.states.contains_key(state)));
        assert!(turns.transitions.len() > 150 && turns.sequences.len() > 15);
    }
}
