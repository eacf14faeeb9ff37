use super::super::reference::sample;
use super::super::{Deflater, WindowBits};
use super::*;

const MAX_SIZE: usize = 1 << 20;

fn inflater(context_takeover: bool) -> Inflater {
    Inflater::new(WindowBits::MAX, context_takeover)
}

fn inflate_pieces<'a>(
    inflater: &mut Inflater,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    max_size: usize,
) -> Result<Vec<u8>, ProtocolError> {
    let mut message = Vec::new();
    for piece in pieces {
        inflater.push(piece, &mut message, max_size)?;
        assert!(message.len() <= max_size);
    }
    inflater.finish(&mut message, max_size)?;
    assert!(inflater.stream.is_none());
    Ok(message)
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    inflate_pieces(&mut inflater(false), [payload], MAX_SIZE)
}

fn deflate(payload: &[u8]) -> Vec<u8> {
    let (mut deflater, mut output) = (Deflater::new(9, WindowBits::MAX, false), Vec::new());
    assert!(deflater.push(payload, &mut output) && deflater.finish(&mut output));
    output
}

/// RFC 7692 §7.2.3.1 to 7.2.3.6, whole, and cut in two and in three everywhere.
#[test]
fn the_examples_of_the_rfc() {
    for (payload, text) in [
        (&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], &b"Hello"[..]),
        (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello"),
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello"),
        (
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
            b"Hello",
        ),
        (b"\x00", b""),
    ] {
        assert_eq!(inflate(payload).as_deref(), Ok(text));
        for second in 0..=payload.len() {
            for first in 0..=second {
                let (start, end) = payload.split_at(second);
                let (start, middle) = start.split_at(first);
                let inflated = inflate_pieces(&mut inflater(true), [start, middle, end], MAX_SIZE);
                assert_eq!(inflated.as_deref(), Ok(text));
            }
        }
    }
}

/// RFC 7692 §7.2.3.2.
#[test]
fn the_window_is_shared_between_messages_or_not() {
    let (first, second) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
    let mut shared = inflater(true);
    for payload in [&first[..], second, second] {
        let inflated = inflate_pieces(&mut shared, [payload], MAX_SIZE);
        assert_eq!(inflated.as_deref(), Ok(&b"Hello"[..]));
    }
    assert_eq!(shared.window, b"HelloHelloHello");
    let mut reset = inflater(false);
    assert!(inflate_pieces(&mut reset, [&first[..]], MAX_SIZE).is_ok());
    assert_eq!(reset.window.capacity(), 0);
    let refused = inflate_pieces(&mut reset, [&second[..]], MAX_SIZE);
    assert_eq!(refused, Err(ProtocolError::InvalidCompression));
}

#[test]
fn messages_without_a_byte_are_empty() {
    let mut inflater = inflater(true);
    for payload in [
        &b""[..],
        b"\x00",
        b"",
        b"\x03\x00",
        b"\x03\x00\x00",
        b"\x02\x00",
    ] {
        let inflated = inflate_pieces(&mut inflater, [payload, b""], MAX_SIZE);
        assert_eq!(inflated.as_deref(), Ok(&b""[..]), "{payload:x?}");
    }
}

#[test]
fn data_behind_a_final_block_is_decoded_with_the_same_window() {
    let is_final = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    // Followed by no empty block; by another final block; by one that is not final.
    assert_eq!(inflate(is_final).as_deref(), Ok(&b"Hello"[..]));
    let twice = [is_final, &is_final[..]].concat();
    assert_eq!(inflate(&twice).as_deref(), Ok(&b"HelloHello"[..]));
    let then_not = [&is_final[..], b"\xf2\x48\xcd\xc9\xc9\x07\x00"].concat();
    assert_eq!(inflate(&then_not).as_deref(), Ok(&b"HelloHello"[..]));
    // A block that refers back to data before the final block, in this message and in the one before.
    let back = [&is_final[..], b"\xf2\x00\x11\x00\x00"].concat();
    for at in 0..=back.len() {
        let (start, end) = back.split_at(at);
        let inflated = inflate_pieces(&mut inflater(false), [start, end], MAX_SIZE);
        assert_eq!(inflated.as_deref(), Ok(&b"HelloHello"[..]));
    }
    let mut shared = inflater(true);
    assert!(inflate_pieces(&mut shared, [&is_final[..]], MAX_SIZE).is_ok());
    let empty_then_back = b"\x03\x00\xf2\x00\x11\x00\x00";
    let inflated = inflate_pieces(&mut shared, [&empty_then_back[..]], MAX_SIZE);
    assert_eq!(inflated.as_deref(), Ok(&b"Hello"[..]));
    let garbage = [&is_final[..], b"\x07"].concat();
    assert_eq!(inflate(&garbage), Err(ProtocolError::InvalidCompression));
}

#[test]
fn refuses_endless_final_blocks() {
    assert_eq!(inflate(&b"\x03\x00".repeat(16)).as_deref(), Ok(&b""[..]));
    let hostile = b"\x03\x00".repeat(500_000);
    assert_eq!(inflate(&hostile), Err(ProtocolError::InvalidCompression));
    // A final block for each KiB is fine.
    let block = [&b"\x01\x00\x04\xff\xfb"[..], &[7; 1024]].concat();
    let payload = block.repeat(1000);
    assert_eq!(inflate(&payload), Ok([7].repeat(1000 << 10)));
}

#[test]
fn invalid_and_truncated_data_is_refused() {
    let long = deflate(&sample(1, 5000));
    let stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    let fixed = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let is_final = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    for payload in [&long[..], stored, fixed, is_final] {
        assert!(inflate(payload).is_ok());
        // 0x00 alone is an empty message.
        for len in (1..payload.len()).filter(|&len| payload[..len] != [0x00]) {
            let truncated = inflate(&payload[..len]);
            assert_eq!(truncated, Err(ProtocolError::InvalidCompression), "{len}");
        }
    }
    for payload in [
        &b"\x07"[..], // block type 3
        b"\x06",
        b"\xff\xff\xff",
        b"\x00\x05\x00\xfa\xfe", // a length that is not its own complement
        b"\x0d\xc0\x81\x08\x00", // codes that do not add up
        b"\x02\x08\x20\x80\x00\x03", // distance 1 at the very beginning or worse
        b"Hello",                // not compressed at all
        b"\x78\x9c\x01\x00\x00\xff\xff", // zlib's format instead of raw DEFLATE
    ] {
        let inflated = inflate(payload);
        assert_eq!(
            inflated,
            Err(ProtocolError::InvalidCompression),
            "{payload:x?}"
        );
    }
}

#[test]
fn survives_random_bytes() {
    for seed in 0..2000 {
        let mut payload = sample(seed, 1 + seed as usize % 90);
        let inflated = inflate_pieces(&mut inflater(true), payload.chunks(7), 4096);
        assert_eq!(
            inflated,
            inflate_pieces(&mut inflater(true), [&payload[..]], 4096)
        );
        // And valid data with one bit changed.
        payload = deflate(&payload);
        let at = seed as usize % payload.len();
        payload[at] ^= 1 << (seed % 8);
        let _ = inflate(&payload);
    }
}

#[test]
fn gives_the_same_at_every_split() {
    let original = sample(2, 700);
    let payload = deflate(&original);
    for at in 0..=payload.len() {
        let (start, end) = payload.split_at(at);
        let inflated = inflate_pieces(&mut inflater(false), [start, end], MAX_SIZE);
        assert_eq!(inflated.as_ref(), Ok(&original));
    }
    let large = sample(3, 300_000);
    let payload = deflate(&large);
    for size in [1, 2, 3, 1000, 65_536] {
        let inflated = inflate_pieces(&mut inflater(true), payload.chunks(size), MAX_SIZE);
        assert!(inflated.as_ref() == Ok(&large), "{size}");
    }
}

#[test]
fn the_limit_is_exact() {
    for len in [1, 255, 256, 257, 16_384, 100_000] {
        let original = sample(4, len);
        let payload = deflate(&original);
        for pieces in [1, 7, payload.len()] {
            let inflate = |max| inflate_pieces(&mut inflater(false), payload.chunks(pieces), max);
            assert!(inflate(len).as_ref() == Ok(&original));
            assert!(inflate(len - 1) == Err(ProtocolError::MessageTooBig));
            assert!(inflate(0) == Err(ProtocolError::MessageTooBig));
        }
    }
    assert_eq!(
        inflate_pieces(&mut inflater(false), [&b"\x00"[..]], 0),
        Ok(Vec::new())
    );
}

/// 200 MB of zeros in 194 kB.
#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    let zeros = std::vec![0; 1 << 20];
    let (mut deflater, mut payload) = (Deflater::new(9, WindowBits::MAX, false), Vec::new());
    assert!((0..200).all(|_| deflater.push(&zeros, &mut payload)));
    assert!(deflater.finish(&mut payload));
    assert!(payload.len() < 210_000, "{}", payload.len());
    for size in [payload.len(), 1000, 1] {
        let (mut inflater, mut message) = (inflater(true), Vec::new());
        let mut taken = 0;
        let result = payload.chunks(size).try_for_each(|piece| {
            taken += piece.len();
            inflater.push(piece, &mut message, MAX_SIZE)
        });
        assert_eq!(result, Err(ProtocolError::MessageTooBig));
        assert!(message.len() <= MAX_SIZE && message.capacity() <= MAX_SIZE);
        assert!(size == payload.len() || taken < 4000, "{taken}");
    }
    // Many messages within the limit leave a single window.
    let mut inflater = inflater(true);
    let payload = deflate(&zeros);
    for _ in 0..20 {
        assert!(inflate_pieces(&mut inflater, [&payload[..]], MAX_SIZE).is_ok());
        assert!(inflater.window.capacity() <= 32 << 10);
    }
}

#[test]
fn an_idle_connection_keeps_only_the_agreed_window() {
    for (bits, size) in [(8, 512), (9, 512), (10, 1024), (15, 32_768)] {
        let bits = WindowBits::new(bits).unwrap();
        for takeover in [false, true] {
            let mut inflater = Inflater::new(bits, takeover);
            for seed in 0..300 {
                let payload = deflate(&sample(seed, 400));
                assert!(inflate_pieces(&mut inflater, [&payload[..]], MAX_SIZE).is_ok());
            }
            assert_eq!(inflater.window.capacity(), if takeover { size } else { 0 });
        }
    }
}
