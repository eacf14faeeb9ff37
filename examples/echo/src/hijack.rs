use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use wasocket::{RawHandler, RawSocket};

/// The longest line that the app reads, in bytes.
const MAX_LINE: usize = 4096;

/// Greets, reads a line, quotes it, says goodbye: the example of `http.Hijacker`.
#[derive(Default)]
pub struct SayHi {
    line: Vec<u8>,
}

impl RawHandler for SayHi {
    fn open(&mut self, socket: &mut RawSocket) {
        socket.write(b"Now we're speaking raw TCP. Say hi: ");
    }

    fn receive(&mut self, socket: &mut RawSocket, bytes: &[u8]) {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        self.line
            .extend(bytes.iter().take(end.map_or(bytes.len(), |end| end + 1)));
        if end.is_some() {
            socket.write(format!("You said: {}\nBye.\n", quote(&self.line)).as_bytes());
            socket.close();
        } else if self.line.len() > MAX_LINE {
            socket.write(b"\nThat line is too long. Bye.\n");
            socket.close();
        }
    }
}

/// Quotes as Go's `%q` does: the escapes of Go, and `\x..` for bytes that are not UTF-8.
fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            quote_character(character, &mut quoted);
        }
        for byte in chunk.invalid() {
            quoted += &format!("\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

fn quote_character(character: char, quoted: &mut String) {
    match character {
        '"' | '\\' => {
            quoted.push('\\');
            quoted.push(character);
        }
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        '\0'..'\x20' | '\x7f' => *quoted += &format!("\\x{:02x}", u32::from(character)),
        '\u{80}'..'\u{a1}' | '\u{ad}' => *quoted += &format!("\\u{:04x}", u32::from(character)),
        _ => quoted.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quotes_as_go_does() {
        for (bytes, quoted) in [
            (&b"hi\n"[..], r#""hi\n""#),
            (b"a\"b\\c\r\n", r#""a\"b\\c\r\n""#),
            (b"\x00\x1b\x7f", r#""\x00\x1b\x7f""#),
            (b"\xff\xc3\xa9\xe2\x82", "\"\\xff\u{e9}\\xe2\\x82\""),
            ("\u{a0}".as_bytes(), r#""\u00a0""#),
        ] {
            assert_eq!(quote(bytes), quoted);
        }
    }
}
