//! An app's function on a raw socket, natively.
#![allow(clippy::expect_used, clippy::panic, reason = "how a test fails")]

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use wasocket::{
    Answer, Disposition, Instant, RawError, RawStream, ReadyList, Request, Session, ShutdownReason,
};

const NOW: Instant = Instant::from_nanos(1);

fn session<F>(converse: impl FnOnce(RawStream) -> F) -> Box<dyn Session>
where
    F: Future<Output = Result<(), RawError>> + 'static,
{
    match Answer::converse_raw(&Request::default(), converse) {
        Answer::Takeover(takeover) => {
            assert!(takeover.response.is_none() && takeover.farewell.is_empty());
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
fn lines_come_whole_however_they_are_cut() {
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
fn what_came_with_the_request_comes_first() {
    let mut session = session(lines);
    assert_eq!(open(&mut session, b"hi\nmore").output, b"<hi\n>");
    assert_eq!(session.receive(NOW, b"\n".to_vec()).output, b"<more\n>");
}

#[test]
fn lines_have_a_limit() {
    let mut session = session(lines);
    let effects = open(&mut session, b"123456789");
    assert_eq!(effects.next, Disposition::Close);
}

#[test]
fn a_line_may_be_longer_than_what_is_buffered_otherwise() {
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
    // The end of line is beyond the limit.
    let effects = session.receive(NOW, b"\n".to_vec());
    assert_eq!(
        (&effects.output[..], effects.next),
        (&b""[..], Disposition::Close)
    );
}

#[test]
fn an_app_that_does_not_read_is_not_sent_more() {
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
fn a_peer_that_does_not_read_slows_the_app_down() {
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
    // At once, to learn whether it is sent.
    assert_eq!(effects.wake_at, Some(NOW));
    let effects = session.wake(NOW, 120_000);
    assert_eq!((effects.output.len(), effects.wake_at), (0, None));
    assert_eq!(session.wake(NOW, 0).output.len(), 120_000);
}

#[test]
fn a_socket_that_fails_is_an_error() {
    let ends = Rc::new(RefCell::new(vec![]));
    for shut_down in [true, false] {
        let seen = Rc::clone(&ends);
        let mut session = session(|stream| async move {
            let end = stream
                .read()
                .await
                .map(|bytes| bytes.map(|bytes| bytes.len()));
            seen.borrow_mut().push(end);
            Ok(())
        });
        open(&mut session, b"");
        if shut_down {
            let effects = session.shutdown(NOW, ShutdownReason::GoingAway);
            assert_eq!(effects.next, Disposition::Close);
        } else {
            session.lost(NOW);
        }
    }
    assert_eq!(*ends.borrow(), [Err(RawError::Lost), Err(RawError::Lost)]);
}
