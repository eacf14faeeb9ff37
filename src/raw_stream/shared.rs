use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{RefCell, RefMut};
use core::mem;
use core::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};

use super::RawError;
use crate::head::Request;
use crate::protocol::{Disposition, Instant};
use crate::session::{Calling, Effects, Machine, Timers, register};

/// The number of bytes that may wait for the app before reading from the peer stops.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// The number of bytes that may be on their way to the peer before a write waits.
const SEND_BUFFER: u64 = 64 * 1024;

/// A raw socket, shared by its future and all handles to it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) request: Request,
    calling: RefCell<Option<Arc<Calling>>>,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Instant,
    /// Received, but not yet read by the app.
    input: BytesMut,
    /// The length of `input` that is known to contain no end of line.
    searched: usize,
    /// The number of bytes that a read waits for as a whole, if one does: for a line, the most it may have.
    wanted: usize,
    at_end: bool,
    /// Whether the host is stopping, and the app has not been told.
    stops: bool,
    is_lost: bool,
    has_ended: bool,
    output: Vec<u8>,
    unsent: u64,
    reading: Vec<Waker>,
    writing: Vec<Waker>,
    timers: Timers,
}

impl Shared {
    pub(super) fn new(request: Request) -> Rc<Self> {
        Rc::new(Self {
            request,
            calling: RefCell::new(None),
            state: RefCell::default(),
        })
    }

    fn call(&self) {
        if let Some(calling) = &*self.calling.borrow() {
            calling.call();
        }
    }

    // Called by the session.

    pub(super) fn advance(&self, now: Instant, unsent: Option<u64>) {
        let mut state = self.state.borrow_mut();
        state.now = now;
        if let Some(unsent) = unsent {
            state.unsent = unsent;
        }
        state.timers.fire(now);
        if state.has_room() {
            state.writing.drain(..).for_each(Waker::wake);
        }
    }

    pub(super) fn receive(&self, bytes: Bytes) {
        let mut state = self.state.borrow_mut();
        if state.has_ended || bytes.is_empty() {
            return;
        }
        if state.input.is_empty() {
            state.input = bytes.into();
        } else {
            state.input.extend_from_slice(&bytes);
        }
        state.reading.drain(..).for_each(Waker::wake);
    }

    pub(super) fn end_of_stream(&self) {
        let mut state = self.state.borrow_mut();
        state.at_end = true;
        state.reading.drain(..).for_each(Waker::wake);
    }

    pub(super) fn stop(&self) {
        let mut state = self.state.borrow_mut();
        state.stops = true;
        state.wake_all();
    }

    pub(super) fn lose(&self) {
        let mut state = self.state.borrow_mut();
        state.is_lost = true;
        state.wake_all();
    }

    // Called by the app.

    pub(super) fn now(&self) -> Instant {
        self.state.borrow().now
    }

    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, RawError>> {
        let mut state = self.begin_read()?;
        if !state.input.is_empty() {
            state.searched = 0;
            return Poll::Ready(Ok(Some(mem::take(&mut state.input).freeze())));
        }
        state.poll_end(context).map_ok(|()| None)
    }

    pub(super) fn poll_exact(
        &self,
        size: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, RawError>> {
        let mut state = self.begin_read()?;
        if state.input.len() >= size {
            state.searched = 0;
            return Poll::Ready(Ok(Some(state.input.split_to(size).freeze())));
        }
        state.wanted = size;
        ready!(state.poll_end(context))?;
        Poll::Ready(if state.input.is_empty() {
            Ok(None)
        } else {
            Err(RawError::UnexpectedEnd)
        })
    }

    /// Begins a read, which replaces an earlier one.
    fn begin_read(&self) -> Result<RefMut<'_, State>, RawError> {
        let mut state = self.state.borrow_mut();
        state.check_stop()?;
        if state.is_full() {
            self.call();
        }
        state.wanted = 0;
        Ok(state)
    }

    pub(super) fn poll_line(
        &self,
        limit: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, RawError>> {
        let mut state = self.begin_read()?;
        let unsearched = state.input.get(state.searched..).unwrap_or_default();
        let end = unsearched.iter().position(|byte| *byte == b'\n');
        let length = end.map(|end| state.searched + end + 1);
        if length.unwrap_or(state.input.len()) > limit {
            return Poll::Ready(Err(RawError::LineTooLong));
        }
        if length.is_none() && !state.at_end {
            state.searched = state.input.len();
            state.wanted = limit;
            return state.poll_end(context).map_ok(|()| None);
        }
        state.searched = 0;
        let length = length.unwrap_or(state.input.len());
        let line = state.input.split_to(length).freeze();
        Poll::Ready(Ok((!line.is_empty()).then_some(line)))
    }

    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<Result<(), RawError>> {
        let mut state = self.state.borrow_mut();
        state.check_stop()?;
        if state.is_lost || state.has_ended {
            return Poll::Ready(Err(RawError::Lost));
        }
        if state.has_room() {
            return Poll::Ready(Ok(()));
        }
        register(&mut state.writing, context.waker());
        Poll::Pending
    }

    pub(super) fn write(&self, bytes: &[u8]) {
        self.state.borrow_mut().output.extend_from_slice(bytes);
        self.call();
    }

    pub(super) fn add_timer(&self, at: Instant) -> u64 {
        self.state.borrow_mut().timers.add(at)
    }

    pub(super) fn poll_timer(&self, number: u64, context: &mut Context<'_>) -> Poll<()> {
        // If another connection polls the timer, the host does not know it yet.
        self.call();
        self.state.borrow_mut().timers.poll(number, context)
    }

    pub(super) fn remove_timer(&self, number: u64) {
        self.state.borrow_mut().timers.remove(number);
    }
}

impl State {
    fn wake_all(&mut self) {
        let waiting = self.reading.drain(..).chain(self.writing.drain(..));
        waiting.for_each(Waker::wake);
    }

    /// Tells the app once that the host is stopping; after that it can still say goodbye.
    fn check_stop(&mut self) -> Result<(), RawError> {
        if mem::take(&mut self.stops) {
            return Err(RawError::Stopped);
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.unsent.saturating_add(self.output.len() as u64) < SEND_BUFFER
    }

    /// Whether to stop reading from the peer. A read of a whole line or length may need more than the buffer.
    fn is_full(&self) -> bool {
        self.input.len() >= RECEIVE_BUFFER && self.input.len() > self.wanted
    }

    /// Waits for more bytes, or for the end of the stream.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RawError>> {
        if self.is_lost {
            return Poll::Ready(Err(RawError::Lost));
        }
        if self.at_end {
            return Poll::Ready(Ok(()));
        }
        register(&mut self.reading, context.waker());
        Poll::Pending
    }
}

impl Machine for Shared {
    type Output = ();

    fn called_by(&self, calling: Arc<Calling>) {
        *self.calling.borrow_mut() = Some(calling);
    }

    fn take_event(&self) -> bool {
        false
    }

    fn finish(&self, (): ()) {
        let mut state = self.state.borrow_mut();
        state.has_ended = true;
        state.input = BytesMut::new();
    }

    fn effects(&self, is_woken: bool) -> Effects {
        let mut state = self.state.borrow_mut();
        let output = mem::take(&mut state.output);
        state.unsent = state.unsent.saturating_add(output.len() as u64);
        // Whether a future waits for room, or soon will, and so needs to know at once that the host has sent
        // this.
        let asks = !state.has_room() || !state.writing.is_empty();
        let again = is_woken || (asks && !output.is_empty());
        let next = if state.has_ended {
            Disposition::Close
        } else if state.is_full() {
            Disposition::Pause
        } else {
            Disposition::Open
        };
        Effects {
            topics: Vec::new(),
            output,
            wake_at: if again {
                Some(state.now)
            } else {
                state.timers.next()
            },
            next,
        }
    }
}
