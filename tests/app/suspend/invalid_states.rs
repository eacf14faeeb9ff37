//! States that no connection was suspended to.

use proptest::prelude::*;
use wasocket::events::{Context, EventHandler, events};
use wasocket::{Instant, Json, Message, ResumeError};

use super::{Room, SECOND, refusal, replaced, state, try_resume};

#[test]
fn an_invalid_state_is_refused() {
    let app = events(Room);
    let state = state(&app);
    assert!(try_resume(&app, &state).is_ok());
    for len in 0..state.len() {
        assert_eq!(refusal(&app, &state[..len]), ResumeError::Invalid, "{len}");
    }
    let longer = [&state[..], &[0]].concat();
    assert_eq!(refusal(&app, &longer), ResumeError::Invalid);
    let too_long = [&state[..], &[0; 64 << 10]].concat();
    assert_eq!(refusal(&app, &too_long), ResumeError::Invalid);
    for version in [0, 1, 255] {
        let foreign = [&[version], &state[1..]].concat();
        assert_eq!(refusal(&app, &foreign), ResumeError::UnknownVersion);
    }
}

#[test]
fn a_state_that_breaks_a_limit_is_refused() {
    let app = events(Room);
    let state = state(&app);
    for (old, new) in [
        // A name that is not printable, and one that is not text.
        (&b"1-s3p"[..], &b"1 s3p"[..]),
        (b"1-s3p", b"\xff-s3p"),
        // Two topics, one without a name, or both with the same; more topics than there are; an unknown receiver.
        (b"\x01\x04\0room\0", b"\x02\0\0\0\x02\0xx\0"),
        (b"\x01\x04\0room\0", b"\x02\x04\0room\0\x04\0room\0"),
        (b"\x01\x04\0room\0", b"\xff\x04\0room\0"),
        (b"\x01\x04\0room\0", b"\x01\x04\0room\x03"),
        // A length beyond the end and over the limit.
        (b"\x04\0room", b"\xff\xffroom"),
    ] {
        assert_eq!(
            refusal(&app, &replaced(&state, old, new)),
            ResumeError::Invalid
        );
    }
}

/// An app that keeps a number where the room keeps a text.
struct Numbered;

impl EventHandler for Numbered {
    type State = Json<u32>;

    fn message(&self, _: Message, _: &mut Context<'_, Json<u32>>) {}
}

#[test]
fn a_state_that_the_app_cannot_read_is_refused() {
    let state = state(&events(Room));
    assert_eq!(refusal(&events(Numbered), &state), ResumeError::Invalid);
    let readable = replaced(&state, b"\x01\0i", b"\x01\x007");
    assert!(try_resume(&events(Numbered), &readable).is_ok());
    let none = replaced(&state, b"\x01\0i", b"\0\0");
    assert!(try_resume(&events(Numbered), &none).is_ok());
}

/// Messages are held to the limit of the crate, whatever the state says.
#[test]
fn a_state_cannot_raise_the_message_limit() {
    let app = events(Room);
    let most = (1_u64 << 20).to_le_bytes();
    let state = replaced(&state(&app), &most, &u64::MAX.to_le_bytes());
    let mut session = try_resume(&app, &state).expect("of the right form").session;
    let now = Instant::from_nanos(SECOND);
    let header = [&[0x82, 0xff][..], &(5_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    let effects = session.receive(now, header);
    assert_eq!(effects.output[2..4], 1009_u16.to_be_bytes());
}

proptest! {
    /// An altered state is resumed or refused; if resumed, its connection can be called like any other.
    #[test]
    fn altered_states_never_panic(changes in prop::collection::vec((0_usize..400, any::<u8>()), 1..8)) {
        let app = events(Room);
        let mut state = state(&app);
        for (at, byte) in changes {
            let at = 1 + at % (state.len() - 1);
            state[at] = byte;
        }
        if let Ok(mut resumed) = try_resume(&app, &state) {
            let now = Instant::from_nanos(2 * SECOND);
            resumed.session.receive(now, b"\x81\x81\0\0\0\0a".to_vec());
            resumed.session.wake(Instant::from_nanos(u64::MAX), 0);
            resumed.session.lost(Instant::from_nanos(u64::MAX));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let state = [&b"\x02\0\0"[..], &rest].concat();
        let _ = try_resume(&events(Room), &state);
    }
}
