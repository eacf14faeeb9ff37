//! The load of one measurement: the number of connections, and their messages.

use std::fmt;
use std::str::FromStr;

/// One throughput measurement. Written as `CONNECTIONSxSIZE[xINFLIGHT][@ADDRESSES][-text|-deflate]`,
/// such as `64x1K`, `64x16x16`, `64x16@8` or `64x16K-deflate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The number of connections, all of them busy.
    pub connections: usize,
    /// The payload of a message, in bytes.
    pub size: usize,
    /// The number of messages of a connection in flight at any time.
    pub in_flight: usize,
    /// The number of addresses that they come from.
    pub addresses: u8,
    /// The kind of messages.
    pub content: Content,
}

/// The content of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Binary messages of random bytes.
    Binary,
    /// Text messages of words, some of which are not ASCII.
    Text,
    /// The same text, compressed (permessage-deflate without context takeover, RFC 7692).
    Deflated,
}

impl Cell {
    /// A cell with one message in flight.
    pub const fn new(connections: usize, size: usize, content: Content) -> Self {
        Self {
            connections,
            size,
            in_flight: 1,
            addresses: 1,
            content,
        }
    }

    /// The same with this number of messages in flight.
    pub const fn in_flight(self, in_flight: usize) -> Self {
        Self { in_flight, ..self }
    }

    /// The heading of its table.
    pub fn title(&self) -> String {
        let connections = self.connections;
        let mut title = match connections {
            1 => "1 connection".to_owned(),
            _ => format!("{connections} connections"),
        };
        title += &format!(" × {}", bytes(self.size));
        if self.in_flight > 1 {
            title += &format!(", {} in flight", self.in_flight);
        }
        if self.addresses > 1 {
            title += &format!(", from {} addresses", self.addresses);
        }
        match self.content {
            Content::Binary => {}
            Content::Text => title += ", text",
            Content::Deflated => title += ", text, compressed",
        }
        title
    }
}

/// A readable number of bytes: `125 B`, `16 KiB`, `4 MiB`.
pub fn bytes(count: usize) -> String {
    match count {
        _ if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        _ if count >= 1 << 10 && count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        _ => format!("{count} B"),
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = bytes(self.size);
        let size = size.trim_end_matches("iB").trim_end_matches('B');
        write!(f, "{}x{}", self.connections, size.replace(' ', ""))?;
        if self.in_flight > 1 {
            write!(f, "x{}", self.in_flight)?;
        }
        if self.addresses > 1 {
            write!(f, "@{}", self.addresses)?;
        }
        f.write_str(match self.content {
            Content::Binary => "",
            Content::Text => "-text",
            Content::Deflated => "-deflate",
        })
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            format!("{text} is no cell: write CONNECTIONSxSIZE, such as 64x16, 64x1Kx16 or 64x1K-deflate")
        })
    }
}

fn parse(text: &str) -> Option<Cell> {
    let (numbers, content) = match text.split_once('-') {
        None => (text, Content::Binary),
        Some((numbers, "text")) => (numbers, Content::Text),
        Some((numbers, "deflate")) => (numbers, Content::Deflated),
        Some(_) => return None,
    };
    let (numbers, addresses) = match numbers.split_once('@') {
        None => (numbers, 1),
        Some((numbers, addresses)) => (numbers, addresses.parse().ok().filter(|n| *n > 0)?),
    };
    let mut numbers = numbers.split('x');
    let cell = Cell {
        connections: positive(numbers.next()?)?,
        size: size(numbers.next()?)?,
        in_flight: numbers.next().map_or(Some(1), positive)?,
        addresses,
        content,
    };
    numbers.next().is_none().then_some(cell)
}

fn positive(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number > 0)
}

fn size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.strip_suffix('K') {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 1 << 20),
            None => (text, 1),
        },
    };
    positive(digits)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_they_are_written() {
        for text in [
            "1x16",
            "64x125",
            "64x1K",
            "64x1Kx16",
            "4x1M",
            "64x16K-deflate",
            "64x16Kx2-text",
            "64x16@8",
            "64x16x2@2-deflate",
        ] {
            assert_eq!(
                text.parse::<Cell>().map(|cell| cell.to_string()),
                Ok(text.to_owned())
            );
        }
        assert_eq!("64x1024".parse::<Cell>().map(|cell| cell.size), Ok(1024));
        for wrong in [
            "",
            "64",
            "0x16",
            "64x",
            "64x16x0",
            "64x16x1x1",
            "64x16-zip",
            "x16",
        ] {
            assert!(wrong.parse::<Cell>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn titles_are_readable() {
        let cell = Cell::new(64, 1 << 10, Content::Deflated).in_flight(16);
        assert_eq!(
            cell.title(),
            "64 connections × 1 KiB, 16 in flight, text, compressed"
        );
    }
}
