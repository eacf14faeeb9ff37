use core::str;

use bytes::Bytes;

/// Checks text that comes in pieces, cut anywhere: it fails at the first byte that cannot be part of
/// UTF-8 (RFC 6455 §8.1).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8 {
    /// The bytes of an incomplete character, and their number.
    partial: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// The bytes of the incomplete character: at most 3.
    pub(crate) fn partial(&self) -> &[u8] {
        self.partial.get(..self.len).unwrap_or_default()
    }

    /// Whether the text may continue with this piece.
    #[must_use]
    pub(crate) fn accepts(&mut self, piece: &[u8]) -> bool {
        let mut rest = piece;
        while self.len > 0
            && let Some((&byte, tail)) = rest.split_first()
        {
            rest = tail;
            self.append(byte);
            match str::from_utf8(self.partial()) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match str::from_utf8(rest) {
            Ok(_) => true,
            // No error length: the input ends inside a character that may still become valid.
            Err(error) if error.error_len().is_none() => {
                let partial = rest.get(error.valid_up_to()..).unwrap_or_default();
                partial.iter().for_each(|&byte| self.append(byte));
                true
            }
            Err(_) => false,
        }
    }

    /// The whole characters up to the end of this piece; the rest is kept for the next one. `None` if the
    /// text cannot continue with this piece; nothing has changed then.
    #[must_use]
    pub(crate) fn whole_characters(&mut self, mut piece: Bytes) -> Option<Bytes> {
        let mut after = *self;
        if !after.accepts(&piece) {
            return None;
        }
        if !self.partial().is_empty() {
            piece = [self.partial(), &piece].concat().into();
        }
        piece.truncate(piece.len().saturating_sub(after.partial().len()));
        *self = after;
        Some(piece)
    }

    /// Four bytes either are a character or not, so there is never a fifth.
    fn append(&mut self, byte: u8) {
        if let Some(slot) = self.partial.get_mut(self.len) {
            *slot = byte;
            self.len = self.len.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    #[test]
    fn accepts_text_cut_anywhere() {
        let text = "aκ𐍈é😀\u{10ffff}z".as_bytes();
        for second in 0..=text.len() {
            for first in 0..=second {
                let mut utf8 = Utf8::default();
                assert!(utf8.accepts(&text[..first]));
                assert!(utf8.accepts(&text[first..second]));
                let seen = core::str::from_utf8(&text[..second]);
                let partial = seen.map_or_else(|error| second - error.valid_up_to(), |_| 0);
                assert_eq!(utf8.partial(), &text[second - partial..second]);
                assert!(utf8.accepts(&text[second..]));
                assert_eq!(utf8.partial(), b"");
            }
        }
    }

    #[test]
    fn refuses_the_first_bad_byte() {
        for bytes in [
            &b"ab\xff"[..],
            b"\x80",
            b"\xc0",
            b"\xe0\x9f",
            b"\xed\xa0",
            b"\xf4\x90",
            b"\xf5",
            b"\xe2\x82\x28",
            b"\xf0\x9f\x98a",
        ] {
            let (last, before) = bytes.split_last().unwrap();
            let mut utf8 = Utf8::default();
            assert!(before.iter().all(|&byte| utf8.accepts(&[byte])));
            assert!(!utf8.accepts(&[*last]), "{bytes:x?}");
            assert!(!Utf8::default().accepts(bytes), "{bytes:x?}");
        }
    }
}
