//! The texts to publish.

use crate::Result;
use crate::messages::inflate;
use crate::rooms::protocol::Protocol;

/// The number of digits at the beginning of each text.
const DIGITS: usize = 8;

/// Publications of one size, each with a number of its own.
pub struct Publications {
    protocol: Protocol,
    filler: String,
    number: u32,
    /// The message with the latest one.
    message: String,
    /// The payload of its compressed frame, once a member has got it and it was compared.
    compressed: Vec<u8>,
}

impl Publications {
    /// Texts of this number of bytes, at least that of the digits.
    pub fn new(protocol: Protocol, size: usize) -> Self {
        Self {
            protocol,
            filler: filler(size.saturating_sub(DIGITS)),
            number: 0,
            message: String::new(),
            compressed: Vec::new(),
        }
    }

    /// The message for the next one.
    pub fn next(&mut self) -> &str {
        self.number += 1;
        let text = format!("{:0DIGITS$}{}", self.number, self.filler);
        self.message = self.protocol.wrap(&text);
        self.compressed.clear();
        &self.message
    }

    /// The number of the latest one.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Compares what a member got with the latest one.
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub fn compare(&mut self, payload: &[u8], is_compressed: bool) -> Result<()> {
        if !is_compressed {
            return self.check(payload);
        }
        if self.compressed.is_empty() || self.compressed != payload {
            self.check(&inflate(payload, self.message.len())?)?;
            payload.clone_into(&mut self.compressed);
        }
        Ok(())
    }

    fn check(&self, text: &[u8]) -> Result<()> {
        if text == self.message.as_bytes() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(text);
        let start: String = text.chars().take(40).collect();
        Err(format!(
            "publication {}: a member got {start:?} instead",
            self.number
        )
        .into())
    }
}

/// The number at the beginning of a text.
///
/// # Errors
///
/// When there is none.
pub fn number(text: &[u8]) -> Result<u32> {
    let digits = text.get(..DIGITS).unwrap_or_default();
    Ok(std::str::from_utf8(digits)?.parse()?)
}

/// ASCII that compresses about as well as JSON, without quotes.
fn filler(length: usize) -> String {
    let mut text = String::new();
    let mut random = 0x9e37_79b9_u32;
    while text.len() < length {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = ["price", "room", "user", "time"][(random >> 30) as usize];
        text += &format!("{word}:{},", (random >> 8) & 0xffff);
    }
    text.truncate(length);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_have_numbers_and_their_size() {
        let mut publications = Publications::new(Protocol::Plain, 125);
        for expected in 1..=3 {
            let text = publications.next().to_owned();
            assert_eq!(text.len(), 125);
            assert_eq!(number(text.as_bytes()).ok(), Some(expected));
            assert!(publications.compare(text.as_bytes(), false).is_ok());
        }
        let before = publications.next().to_owned();
        publications.next();
        assert!(publications.compare(before.as_bytes(), false).is_err());
        assert!(number(b"short").is_err());
    }
}
