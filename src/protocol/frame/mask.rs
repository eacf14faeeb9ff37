/// Masks or unmasks `payload` in place (RFC 6455 §5.3); the two are the same operation.
///
/// `offset` is the position of `payload[0]` in the frame's payload, for a payload that comes in
/// pieces. Any value is allowed.
pub fn apply_mask(masking_key: [u8; 4], offset: u64, payload: &mut [u8]) {
    let mut key = masking_key;
    key.rotate_left((offset % 4) as usize);
    // 16 bytes at a time: a whole number of keys, and what compilers turn into one SIMD operation.
    let wide = u128::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3], key[0], key[1], key[2],
        key[3], key[0], key[1], key[2], key[3],
    ]);
    let (chunks, tail) = payload.as_chunks_mut::<16>();
    for chunk in chunks {
        *chunk = (u128::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key_byte) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key_byte;
    }
}

#[cfg(test)]
mod tests {
    use super::apply_mask;
    use alloc::vec::Vec;

    #[test]
    fn rfc_example() {
        // RFC 6455 §5.7, the single-frame masked text message.
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply_mask([0x37, 0xfa, 0x21, 0x3d], 0, &mut payload);
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn every_split_is_the_same_as_the_whole() {
        let key = [1, 20, 130, 255];
        let original: Vec<u8> = (0..100).collect();
        let mut whole = original.clone();
        apply_mask(key, 0, &mut whole);
        // Byte i is masked with key byte i mod 4 (§5.3).
        assert!((0..100).all(|i| whole[i] == original[i] ^ key[i % 4]));
        for split in 0..=original.len() {
            let mut parts = original.clone();
            let (head, tail) = parts.split_at_mut(split);
            apply_mask(key, 0, head);
            apply_mask(key, split as u64, tail);
            assert_eq!(parts, whole, "split at {split}");
        }
    }
}
