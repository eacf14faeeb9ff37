//! The notation of bytes.

/// ISO 8859-1: a character is one byte.
pub fn latin_1(text: &str) -> Vec<u8> {
    text.chars()
        .filter_map(|char| u8::try_from(char).ok())
        .collect()
}

/// Bytes in the notation of the vectors. `None` if the text breaks the notation.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let tokens: Option<Vec<_>> = text.split(' ').map(decode_token).collect();
    Some(tokens?.concat())
}

fn decode_token(token: &str) -> Option<Vec<u8>> {
    if let Some(ascii) = token.strip_prefix('\'') {
        return Some(ascii.strip_suffix('\'')?.into());
    }
    let (digits, count) = token.split_once('*').unwrap_or((token, "1"));
    let byte = |pair: &[u8]| match pair {
        [_, _] => u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    Some(bytes?.repeat(count.parse().ok()?))
}
