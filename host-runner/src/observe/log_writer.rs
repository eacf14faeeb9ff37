//! Log lines, written by a thread of their own: a log that cannot be written costs lines, never the service.
//!
//! ```text
//!   a thread that logs ──▶ queue, bounded ──▶ thread `log` ──▶ stderr: a terminal, a pipe, a file, a full disk
//! ```
//!
//! What the queue has no room for, and what the system refuses to write, is lost and counted. Once lines are written
//! again, one of them says how many were lost, and why.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

/// Bytes that wait to be written at most, for each [`Weight`].
const ROOM: [usize; 2] = [1 << 20, 256 << 10];

static LOST: AtomicU64 = AtomicU64::new(0);

/// The number of lines lost since the process began, for the metrics.
pub(crate) fn lost() -> u64 {
    LOST.load(Relaxed)
}

/// How much a line matters. Each weight has room of its own, so that a flood of ordinary lines displaces no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Information.
    Ordinary,
    /// Warnings and errors, and why the process ends.
    Important,
}

/// Writes log lines in the background. Clones share the queue and the thread.
#[derive(Clone)]
pub struct LogWriter(Arc<Queue>);

impl LogWriter {
    /// Starts the thread, which writes to `output` until the process ends.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn start(output: impl Write + AsFd + Send + 'static) -> io::Result<Self> {
        let writer = Self(Arc::default());
        let queue = Arc::clone(&writer.0);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || queue.write_to(output))?;
        Ok(writer)
    }

    /// A line to be filled, which is queued when it is dropped.
    pub fn line(&self, weight: Weight) -> Line<'_> {
        Line {
            queue: &self.0,
            weight,
            text: Vec::new(),
        }
    }

    /// Waits until everything queued is written or lost, for `patience` at most.
    pub fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.0.state();
        while state.is_busy || !state.lines.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter").finish_non_exhaustive()
    }
}

/// A line that is being written.
#[derive(Debug)]
pub struct Line<'a> {
    queue: &'a Queue,
    weight: Weight,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.queue.push(self.weight, mem::take(&mut self.text));
    }
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<(Weight, Vec<u8>)>,
    /// Bytes in `lines`, for each weight.
    waiting: [usize; 2],
    /// Lines lost since the last one that was written.
    lost: u64,
    /// Why the system refused to write the last one that was lost; `None` if there was no room.
    error: Option<io::Error>,
    /// Whether a line is being written.
    is_busy: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, weight: Weight, text: Vec<u8>) {
        let mut state = self.state();
        let waiting = &mut state.waiting[weight as usize];
        let sum = waiting.saturating_add(text.len());
        if sum > ROOM[weight as usize] {
            state.lose(None);
            return;
        }
        *waiting = sum;
        state.lines.push_back((weight, text));
        self.changed.notify_all();
    }

    /// Writes lines as they come.
    fn write_to(&self, output: impl Write + AsFd) {
        let mut output = Output {
            inner: output,
            is_cut: false,
        };
        loop {
            let written = output.write_line(&self.next());
            if let Some(report) = self.record(written) {
                // Comes back to this queue.
                tracing::warn!("{report}");
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            if let Some((weight, text)) = state.lines.pop_front() {
                let waiting = &mut state.waiting[weight as usize];
                *waiting = waiting.saturating_sub(text.len());
                state.is_busy = true;
                return text;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records how writing a line went. Returns what there is to report once it works again.
    fn record(&self, written: io::Result<()>) -> Option<String> {
        let mut state = self.state();
        state.is_busy = false;
        self.changed.notify_all();
        match written {
            Err(error) => {
                state.lose(Some(error));
                None
            }
            Ok(()) => state.report(),
        }
    }
}

impl State {
    fn lose(&mut self, error: Option<io::Error>) {
        LOST.fetch_add(1, Relaxed);
        self.lost = self.lost.saturating_add(1);
        self.error = error.or(self.error.take());
    }

    fn report(&mut self) -> Option<String> {
        let lost = mem::take(&mut self.lost);
        let error = self.error.take();
        if lost == 0 {
            return None;
        }
        Some(match error {
            Some(error) => format!("lost {lost} log lines, which could not be written: {error}"),
            None => format!("lost {lost} log lines, which nothing read in time"),
        })
    }
}

struct Output<W> {
    inner: W,
    /// Whether the last line ends in its middle.
    is_cut: bool,
}

impl<W: Write + AsFd> Output<W> {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_cut {
            self.write_all(b"\n")?;
        }
        self.write_all(line)?;
        self.inner.flush()
    }

    /// Like [`Write::write_all`], also for a descriptor that another process has made non-blocking.
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.inner.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    self.is_cut = !bytes.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.inner, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
