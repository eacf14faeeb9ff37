//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1), read and written.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str;

use crate::head::is_token;

/// The field that carries offers in a request and the extensions in use in a response
/// (RFC 6455 §11.3.2).
pub const FIELD_NAME: &str = "Sec-WebSocket-Extensions";

/// One extension with its parameters: an offer, or an accepted one.
///
/// Names and values are case-sensitive: RFC 6455 says where case does not matter (§4.2.1, items 3 and 4), and
/// does not say so for extensions. Other implementations compare them in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The extension-token.
    pub name: &'a str,
    /// The parameters, in order, duplicates kept.
    pub params: Vec<Param<'a>>,
}

/// One parameter of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name, a token.
    pub name: &'a str,
    /// The value, a token, unquoted; `None` if there is no `=`.
    pub value: Option<Cow<'a, str>>,
}

/// The field breaks its grammar. Only this fails the opening handshake, not what an extension finds wrong
/// with its parameters (RFC 6455 §9.1: "the recipient of such malformed data MUST immediately _Fail the
/// WebSocket Connection_").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrammarError;

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sec-WebSocket-Extensions breaks its grammar")
    }
}

impl core::error::Error for GrammarError {}

/// Reads the extensions of all field lines, in order; empty if there is no line. Takes time and memory
/// proportional to their length.
///
/// # Errors
///
/// [`GrammarError`]: a line that is not an `extension-list`, or lines without any extension.
pub fn parse<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Extension<'a>>, GrammarError> {
    let mut extensions = Vec::new();
    let mut lines = lines.into_iter().peekable();
    let is_absent = lines.peek().is_none();
    // RFC 6455 §9.1: the field "MAY be split or combined across multiple lines"; a quoted-string cannot
    // be split, as its value would not be a token.
    for line in lines {
        Cursor { rest: line }.list(&mut extensions)?;
    }
    // §9.1: "1#extension".
    if extensions.is_empty() && !is_absent {
        return Err(GrammarError);
    }
    Ok(extensions)
}

/// Writes the extension as it appears in the field; values are tokens and need no quotes.
impl fmt::Display for Extension<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for Param { name, value } in &self.params {
            write!(f, "; {name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// The rest of a line. White space may appear between any two tokens: the grammar is that of RFC 2616 with
/// its "implied *LWS" (RFC 6455 §1.3, §9.1).
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn list(&mut self, extensions: &mut Vec<Extension<'a>>) -> Result<(), GrammarError> {
        loop {
            // RFC 9110 §5.6.1.2: empty list elements are ignored.
            while self.take(b',') {}
            if self.rest.is_empty() {
                return Ok(());
            }
            extensions.push(self.extension()?);
            if !self.take(b',') && !self.rest.is_empty() {
                return Err(GrammarError);
            }
        }
    }

    /// `extension = extension-token *( ";" extension-param )`
    fn extension(&mut self) -> Result<Extension<'a>, GrammarError> {
        let name = self.token()?;
        let mut params = Vec::new();
        while self.take(b';') {
            params.push(self.param()?);
        }
        Ok(Extension { name, params })
    }

    /// `extension-param = token [ "=" (token | quoted-string) ]`
    fn param(&mut self) -> Result<Param<'a>, GrammarError> {
        let name = self.token()?;
        let value = if !self.take(b'=') {
            None
        } else if self.take(b'"') {
            Some(self.quoted()?.into())
        } else {
            Some(self.token()?.into())
        };
        Ok(Param { name, value })
    }

    fn token(&mut self) -> Result<&'a str, GrammarError> {
        self.skip_whitespace();
        let len = self.rest.iter().take_while(|&&byte| is_tchar(byte)).count();
        let (token, rest) = self.rest.split_at_checked(len).ok_or(GrammarError)?;
        self.rest = rest;
        if token.is_empty() {
            return Err(GrammarError);
        }
        str::from_utf8(token).map_err(|_| GrammarError)
    }

    /// A quoted-string, after its first quote. RFC 6455 §9.1: "the value after quoted-string unescaping MUST
    /// conform to the 'token' ABNF."
    fn quoted(&mut self) -> Result<String, GrammarError> {
        let mut value = String::new();
        loop {
            let byte = match self.next_byte()? {
                b'"' if value.is_empty() => return Err(GrammarError),
                b'"' => return Ok(value),
                b'\\' => self.next_byte()?,
                byte => byte,
            };
            if !is_tchar(byte) {
                return Err(GrammarError);
            }
            value.push(char::from(byte));
        }
    }

    /// Takes `byte`, if it comes next after white space.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_whitespace();
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn next_byte(&mut self) -> Result<u8, GrammarError> {
        let (&first, rest) = self.rest.split_first().ok_or(GrammarError)?;
        self.rest = rest;
        Ok(first)
    }

    fn skip_whitespace(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

fn is_tchar(byte: u8) -> bool {
    is_token(&[byte])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    fn read(lines: &[&str]) -> Option<String> {
        let extensions = parse(lines.iter().map(|line| line.as_bytes())).ok()?;
        let written: Vec<_> = extensions.iter().map(ToString::to_string).collect();
        Some(written.join(", "))
    }

    #[test]
    fn lists_that_follow_the_grammar() {
        for (lines, written) in [
            (&[][..], ""),
            (&["foo"], "foo"),
            // RFC 6455 §9.1's own examples.
            (&["deflate-stream"], "deflate-stream"),
            (
                &["mux; max-channels=4; flow-control, deflate-stream"],
                "mux; max-channels=4; flow-control, deflate-stream",
            ),
            (&["private-extension"], "private-extension"),
            (&["foo", "bar; baz=2"], "foo, bar; baz=2"),
            (&["foo, bar; baz=2"], "foo, bar; baz=2"),
            (&["a;b=\"c\""], "a; b=c"),
            (&["a;b=\"\\c\\d\""], "a; b=cd"),
            (&["\ta ;\t b = \"c\" ,d;e = f\t "], "a; b=c, d; e=f"),
            (&[", ,a,, ,b,"], "a, b"),
            (&["", "a", " "], "a"),
            (&["a;b;b=1;b=2"], "a; b; b=1; b=2"),
            (
                &["a;__proto__=1;constructor"],
                "a; __proto__=1; constructor",
            ),
            (&["!#$%&'*+-.^_`|~09AZaz"], "!#$%&'*+-.^_`|~09AZaz"),
            // x-webkit-deflate-frame and an unknown one, as old browsers sent.
            (&["x-webkit-deflate-frame, x"], "x-webkit-deflate-frame, x"),
        ] {
            assert_eq!(read(lines).as_deref(), Some(written), "{lines:?}");
        }
    }

    #[test]
    fn everything_else_fails() {
        for line in [
            "",
            " ",
            ",",
            ", ,\t",
            ";",
            "=",
            "\"a\"",
            "a;",
            "a; ",
            "a;,b",
            "a;;b",
            ";a",
            "a b",
            "a;b c",
            "a=b",
            "a;b=",
            "a;b= ",
            "a;b==c",
            "a;b=c=d",
            "a;=c",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"c",
            "a;b=\"c\"d",
            "a;b=\"c d\"",
            "a;b=\"c,d\"",
            "a;b=\"c;d\"",
            "a;b=\"\\",
            "a;b=\"\\\"",
            "a;b=\"\\\"\"",
            "a;b=\"c\\\"",
            "a;b=\" c\"",
            "a@b",
            "caf\u{e9}",
            "a\0",
            "a\u{b}b",
            "a;b={c}",
            "a;b=(c)",
            "a/b",
            "a;\"b\"=c",
            "a:b",
            "[a]",
            "\\a",
            "a;b=c\\d",
            "a\r\n b",
        ] {
            assert_eq!(read(&[line]), None, "{line:?}");
        }
        assert_eq!(read(&["a;b=\"c", "d\""]), None);
        assert_eq!(read(&["a;b=\"c\"", "d\""]), None);
    }

    #[test]
    fn a_single_quote_is_part_of_a_token() {
        assert_eq!(read(&["a;b='c"]).as_deref(), Some("a; b='c"));
    }

    #[test]
    fn bytes_above_ascii_are_refused() {
        for byte in 0x80..=0xff {
            assert_eq!(parse([&[b'a', byte][..]]), Err(GrammarError));
        }
    }

    /// 60 KB of the kind that made other parsers backtrack (CVE-2020-7662 and similar). Quadratic time would
    /// take minutes here.
    #[test]
    fn hostile_lines_take_linear_time() {
        for (pattern, is_legal) in [
            (";", false),
            ("\"", false),
            ("\\", false),
            ("a;", false),
            ("a;b=\"", false),
            ("a;b=\"\\\"", false),
            ("a;b=\"c\\\\", false),
            (" ", false),
            (",", false),
            ("=", false),
            ("a,", true),
            (" \t,", false),
            ("a;b=\"c\",", true),
        ] {
            let line = pattern.repeat(60_000 / pattern.len());
            assert_eq!(read(&[&line]).is_some(), is_legal, "{pattern:?}");
        }
        for prefix in ["a;b=\"", "a;b=", "a"] {
            for pattern in [";", "\"", "\\", "\\a", "a", " ", ";a", ";a=\"b\""] {
                let line = format!("{prefix}{}", pattern.repeat(60_000 / pattern.len()));
                let _ = read(&[&line]);
            }
        }
    }
}
