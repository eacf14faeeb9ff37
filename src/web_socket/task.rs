use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::shared::Shared;
use crate::ready::{Calling, ConnectionId, ReadyList};
use crate::session::close_code;
use crate::{CloseReason, Effects, Instant, Session, ShutdownReason};

/// A connection whose app is a future: polled when something it waits for has happened, inside the
/// calls of the host, and so without a runtime.
pub(super) struct Task {
    shared: Rc<Shared>,
    /// The app; gone when it has ended.
    future: Option<Pin<Box<dyn Future<Output = CloseReason>>>>,
    calling: Option<(Arc<Calling>, Waker)>,
}

impl Task {
    pub(super) fn new(
        shared: Rc<Shared>,
        future: Pin<Box<dyn Future<Output = CloseReason>>>,
    ) -> Self {
        Self {
            shared,
            future: Some(future),
            calling: None,
        }
    }

    /// Goes on as far as possible. An event is seen to only when the app has done what it does about
    /// those before: its answer to a message goes out even if a violation follows.
    fn run(&mut self) -> Effects {
        loop {
            self.poll();
            if !self.shared.take_event() {
                break;
            }
        }
        let calling = self.calling.as_ref();
        let is_woken = calling.is_some_and(|(calling, _)| calling.is_woken());
        let effects = self.shared.effects(is_woken && self.future.is_some());
        if let Some((calling, _)) = calling {
            calling.end();
        }
        effects
    }

    fn poll(&mut self) {
        let (Some(future), Some((calling, waker))) = (&mut self.future, &self.calling) else {
            return;
        };
        if !calling.take_woken() {
            return;
        }
        if let Poll::Ready(reason) = future.as_mut().poll(&mut Context::from_waker(waker)) {
            self.future = None;
            self.shared.finish(reason.code, &reason.reason);
        }
    }

    fn begin(&self, now: Instant, unsent: Option<u64>) {
        if let Some((calling, _)) = &self.calling {
            calling.begin();
        }
        self.shared.advance(now, unsent);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.shared.release();
    }
}

impl Session for Task {
    fn open(
        &mut self,
        now: Instant,
        id: ConnectionId,
        ready: &ReadyList,
        residual: Vec<u8>,
    ) -> Effects {
        let calling = Arc::new(Calling::new(id, ready.clone()));
        self.shared.called_by(Arc::clone(&calling));
        self.calling = Some((Arc::clone(&calling), Waker::from(calling)));
        self.begin(now, Some(0));
        self.shared
            .with_connection(|connection| connection.receive_bytes(now, BytesMut::new()));
        self.poll();
        self.receive(now, residual)
    }

    fn receive(&mut self, now: Instant, bytes: Vec<u8>) -> Effects {
        self.begin(now, Some(0));
        self.shared
            .with_connection(|connection| connection.receive_bytes(now, Bytes::from(bytes)));
        self.run()
    }

    fn receive_eof(&mut self, now: Instant) -> Effects {
        self.begin(now, Some(0));
        self.shared
            .with_connection(|connection| connection.receive_eof(now));
        self.run()
    }

    fn wake(&mut self, now: Instant, unsent: u64) -> Effects {
        self.begin(now, Some(unsent));
        // Who is not listened to is not silent.
        let unheard = if self.shared.is_full() { 1 } else { unsent };
        self.shared
            .with_connection(|connection| connection.handle_timeout(now, unheard));
        self.run()
    }

    fn shutdown(&mut self, now: Instant, reason: ShutdownReason) -> Effects {
        self.begin(now, None);
        // Not open: the closing handshake is under way already.
        let _ = self
            .shared
            .with_connection(|connection| connection.close(close_code(reason), ""));
        self.run()
    }

    fn lost(&mut self, now: Instant) {
        self.begin(now, None);
        self.shared
            .with_connection(|connection| connection.receive_eof(now));
        let _ = self.run();
    }
}
