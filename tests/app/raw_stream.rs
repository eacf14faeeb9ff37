//! An app's function on a raw socket, run natively.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use wasocket::{
    Answer, Disposition, Elapsed, Instant, RawError, RawStream, ReadyList, Request, Session,
    ShutdownReason,
};

const NOW: Instant = Instant::from_nanos(1);

fn session<F>(converse: impl FnOnce(RawStream) -> F) -> Box<dyn Session>
where
    F: Future<Output = Result<(), RawError>> + 'static,
{
    match Answer::converse_raw(&Request::default(), converse) {
        Answer::Takeover(takeover) => {
            assert!(takeover.response.is_none() && takeover.final_bytes.is_empty());
            takeover.session
        }
        Answer::Respond(response) => panic!("{response:?}"),
    }
}

fn open(session: &mut Box<dyn Session>, residual: &[u8]) -> wasocket::Effects {
    session.open(NOW, 1, &ReadyList::default(), residual.to_vec())
}

async fn lines(stream: RawStream) -> Result<(), RawError> {
    while let Some(line) = stream.read_line(8).await? {
        stream.write(format!("<{line}>")).await?;
    }
    stream.write("end").await
}

#[test]
fn lines_arrive_whole_however_the_input_is_split() {
    for size in 1..20 {
        let mut session = session(lines);
        let mut output = open(&mut session, b"").output;
        for piece in b"one\n\ntwo\r\n12345678".chunks(size) {
            output.extend(session.receive(NOW, piece.to_vec()).output);
        }
        let end = session.receive_eof(NOW);
        output.extend(end.output);
        assert_eq!(output, b"<one\n><\n><two\r\n><12345678>end");
        assert_eq!(end.next, Disposition::Close);
    }
}

#[test]
fn bytes_sent_with_the_request_come_first() {
    let mut session = session(lines);
    assert_eq!(open(&mut session, b"hi\nmore").output, b"<hi\n>");
    assert_eq!(session.receive(NOW, b"\n".to_vec()).output, b"<more\n>");
}

#[test]
fn a_line_over_the_limit_closes() {
    let mut session = session(lines);
    let effects = open(&mut session, b"123456789");
    assert_eq!(effects.next, Disposition::Close);
}

#[test]
fn a_line_may_exceed_the_usual_buffer() {
    const LIMIT: usize = 200_000;
    let mut session = session(|stream| async move {
        let line = stream.read_line(LIMIT).await?.expect("a line");
        stream.write(line.len().to_string()).await
    });
    open(&mut session, b"");
    for _ in 0..LIMIT / 1000 {
        let effects = session.receive(NOW, vec![b'x'; 1000]);
        assert_eq!(effects.next, Disposition::Open);
    }
    // The end of the line exceeds the limit.
    let effects = session.receive(NOW, b"\n".to_vec());
    assert_eq!(
        (&effects.output[..], effects.next),
        (&b""[..], Disposition::Close)
    );
}

#[test]
fn input_pauses_while_the_app_does_not_read() {
    let mut session = session(|stream| async move {
        stream.sleep(Duration::from_secs(1)).await;
        let mut all = 0;
        while let Some(bytes) = stream.read().await? {
            all += bytes.len();
        }
        stream.write(all.to_string()).await
    });
    let effects = open(&mut session, b"");
    assert_eq!(effects.next, Disposition::Open);
    let effects = session.receive(NOW, vec![0; 65_536]);
    assert_eq!(effects.next, Disposition::Pause);
    let later = effects.wake_at.expect("a timer");
    assert_eq!(later, NOW.after(Duration::from_secs(1)));
    assert_eq!(session.wake(later, 0).next, Disposition::Open);
    assert_eq!(session.receive_eof(later).output, b"65536");
}

#[test]
fn a_peer_that_does_not_read_holds_up_writes() {
    let written = Rc::new(RefCell::new(0));
    let count = Rc::clone(&written);
    let mut session = session(|stream| async move {
        for _ in 0..10 {
            stream.write(vec![0; 60_000]).await?;
            *count.borrow_mut() += 1;
        }
        Ok(())
    });
    let effects = open(&mut session, b"");
    assert_eq!((effects.output.len(), *written.borrow()), (120_000, 2));
    // Woken at once, to learn whether that was sent.
    assert_eq!(effects.wake_at, Some(NOW));
    let effects = session.wake(NOW, 120_000);
    assert_eq!((effects.output.len(), effects.wake_at), (0, None));
    assert_eq!(session.wake(NOW, 0).output.len(), 120_000);
}

#[test]
fn a_lost_socket_is_an_error() {
    let (mut session, ended) = outcome(|stream| async move {
        let first = stream.read().await;
        [first.map(drop), stream.write("late").await]
    });
    open(&mut session, b"");
    session.lost(NOW);
    assert_eq!(ended.take(), Some([Err(RawError::Lost); 2]));
}

/// A session, and the slot for the result of its function.
fn outcome<T: 'static, F>(
    converse: impl FnOnce(RawStream) -> F,
) -> (Box<dyn Session>, Rc<RefCell<Option<T>>>)
where
    F: Future<Output = T> + 'static,
{
    let slot = Rc::new(RefCell::new(None));
    let made = Rc::clone(&slot);
    let session = session(|stream| {
        let future = converse(stream);
        async move {
            *made.borrow_mut() = Some(future.await);
            Ok(())
        }
    });
    (session, slot)
}

#[test]
fn a_stopping_host_ends_an_app_that_does_not_react() {
    let mut session = session(lines);
    open(&mut session, b"half a l");
    let effects = session.shutdown(NOW, ShutdownReason::GoingAway);
    assert_eq!(
        (&effects.output[..], effects.next),
        (&b""[..], Disposition::Close)
    );
}

#[test]
fn an_app_may_write_a_last_line_when_the_host_stops() {
    let (mut session, ended) = outcome(|stream| async move {
        let line = stream.read_line(100).await;
        stream.write("QUIT\n").await.expect("told already");
        (line, stream.read_line(100).await, stream.read().await)
    });
    open(&mut session, b"half");
    let effects = session.shutdown(NOW, ShutdownReason::GoingAway);
    assert_eq!(
        (&effects.output[..], effects.next),
        (&b"QUIT\n"[..], Disposition::Open)
    );
    // Bytes read before are not lost.
    session.receive(NOW, b" a line\n".to_vec());
    session.lost(NOW);
    let expected = (
        Err(RawError::Stopped),
        Ok(Some("half a line\n".to_owned())),
        Err(RawError::Lost),
    );
    assert_eq!(ended.take(), Some(expected));
}

/// Although it waits for no input when the host stops.
#[test]
fn an_app_that_only_writes_learns_that_the_host_stops() {
    let (mut session, ended) = outcome(|stream| async move {
        loop {
            stream.sleep(Duration::from_secs(1)).await;
            if let Err(error) = stream.write("tick").await {
                return error;
            }
        }
    });
    open(&mut session, b"");
    let effects = session.shutdown(NOW, ShutdownReason::ServiceRestart);
    let later = effects.wake_at.expect("a timer");
    assert_eq!(session.wake(later, 0).next, Disposition::Close);
    assert_eq!(ended.take(), Some(RawError::Stopped));
}

#[test]
fn read_exact_returns_all_or_an_error() {
    const LONG: usize = 200_000;
    for size in [1, 3, 1000] {
        let (mut session, ended) = outcome(|stream| async move {
            let none = stream.read_exact(0).await;
            let three = stream.read_exact(3).await;
            // The end of the line is not in the first search, but in a later one.
            let line = stream.read_line(100).await;
            let long = stream
                .read_exact(LONG)
                .await
                .map(|bytes| bytes.map(|b| b.len()));
            let short = stream.read_exact(9).await;
            let rest = stream.read().await;
            let sizes = [none, three, short, rest];
            (line, long, sizes, stream.read_exact(1).await)
        });
        open(&mut session, b"");
        let stream = [&b"abcde\n"[..], &[0; LONG], b"12345678"].concat();
        for piece in stream.chunks(size) {
            let effects = session.receive(NOW, piece.to_vec());
            assert_eq!(effects.next, Disposition::Open);
        }
        session.receive_eof(NOW);
        let some = |bytes: &'static [u8]| Ok(Some(bytes.into()));
        let sizes = [
            some(b""),
            some(b"abc"),
            Err(RawError::UnexpectedEnd),
            some(b"12345678"),
        ];
        let line = Ok(Some("de\n".to_owned()));
        assert_eq!(ended.take(), Some((line, Ok(Some(LONG)), sizes, Ok(None))));
    }
}

#[test]
fn bytes_read_before_a_timeout_are_kept() {
    let (mut session, ended) = outcome(|stream| async move {
        let limit = Duration::from_secs(3);
        let first = stream.timeout(limit, stream.read_exact(4)).await;
        (first, stream.timeout(limit, stream.read_exact(4)).await)
    });
    let effects = open(&mut session, b"ab");
    let later = NOW.after(Duration::from_secs(3));
    assert_eq!(effects.wake_at, Some(later));
    session.wake(later, 0);
    session.receive(later, b"cd".to_vec());
    let expected = (Err(Elapsed), Ok(Ok(Some(b"abcd"[..].into()))));
    assert_eq!(ended.take(), Some(expected));
}
