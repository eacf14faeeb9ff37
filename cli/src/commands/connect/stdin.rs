//! stdin, as messages to send.

use std::io::{self, BufRead, Read};
use std::thread;

use tokio::sync::mpsc::{self, Receiver, Sender};

use wasocket_host::bindings::Message;

/// The most messages that wait to be sent.
const QUEUE: usize = 16;
/// The longest binary message made from stdin, in bytes.
const CHUNK: usize = 64 * 1024;

/// The next message from stdin. The end of stdin is the end of the channel.
pub(crate) type Input = Result<Message, String>;

/// Reads stdin on a thread of its own, as reading blocks and must not keep the process from ending.
///
/// # Errors
///
/// If the thread cannot be started.
pub(crate) fn read_stdin(binary: bool) -> io::Result<Receiver<Input>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    thread::Builder::new()
        .name("stdin".into())
        .spawn(move || read(io::stdin().lock(), binary, &sender))?;
    Ok(receiver)
}

/// A stdin that is not read: its end never comes.
pub(crate) fn nothing() -> Receiver<Input> {
    mpsc::channel(1).1
}

fn read(mut stdin: impl BufRead, binary: bool, sender: &Sender<Input>) {
    loop {
        let next = if binary {
            next_chunk(&mut stdin)
        } else {
            next_line(&mut stdin)
        };
        let Some(input) = next.transpose() else {
            return;
        };
        let failed = input.is_err();
        if sender.blocking_send(input).is_err() || failed {
            return;
        }
    }
}

/// The next line as a text message, without its line break.
fn next_line(stdin: &mut impl BufRead) -> Result<Option<Message>, String> {
    let mut line = Vec::new();
    let size = stdin.read_until(b'\n', &mut line).map_err(unreadable)?;
    if size == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    // RFC 6455 §5.6: "The 'Payload data' is text data encoded as UTF-8."
    match String::from_utf8(line) {
        Ok(text) => Ok(Some(Message::Text(text))),
        Err(_) => Err("a line of stdin is not UTF-8; --binary sends any bytes".to_owned()),
    }
}

/// The bytes that can be read now, as a binary message.
fn next_chunk(stdin: &mut impl Read) -> Result<Option<Message>, String> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match stdin.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(size) => {
                chunk.truncate(size);
                return Ok(Some(Message::Binary(chunk)));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
}

fn unreadable(error: io::Error) -> String {
    format!("cannot read stdin: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_only_their_ends() {
        let mut stdin = &b"a\r\n\n b\r\rc \nlast"[..];
        for expected in ["a", "", " b\r\rc ", "last"] {
            let line = next_line(&mut stdin);
            let is_expected = matches!(&line, Ok(Some(Message::Text(text))) if text == expected);
            assert!(is_expected, "{line:?}");
        }
        assert!(matches!(next_line(&mut stdin), Ok(None)));
        assert!(next_line(&mut &b"\xff\n"[..]).is_err());
    }
}
