//! The calls into one taken-over connection: which may come next, and what their effects mean.
//!
//! A [`Turn`] does no I/O. The host tells it what happens, makes the call that it returns, and reports that
//! call's effects with [`on_effects`](Turn::on_effects). The rules are those of
//! `wit/websocket-handler.wit`; `tests/vectors/turns.json` has them as a table, which hosts in other
//! languages are tested against as well.
//!
//! ```text
//!                effects: pause
//!   ┌─────────┐ ───────────────▶ ┌────────┐
//!   │ Reading │                  │ Paused │
//!   └────┬────┘ ◀─────────────── └───┬────┘
//!        │       effects: open       │
//!        └────────────┬──────────────┘
//!                     ├───────────────────────────┐
//!       effects: close, abort; lost             died
//!                     ▼                           ▼
//!                ┌─────────┐  report, died   ┌────────┐
//!                │  Ended  │ ──────────────▶ │  Over  │
//!                └─────────┘                 └────────┘
//! ```
//!
//! A connection that may be suspended, and whose state the host has taken, is `Suspended`. Whatever happens to it
//! then, and at its `wake-at`, the host resumes it first: the effects of `resume` make it `Reading` again, and the host
//! reports once more what has happened.
//!
//! While `Reading`, the host reads the socket unless output is unsent or the peer has finished sending:
//! see [`may_receive`](Turn::may_receive). Once `Ended`, the component has let go of the socket, and only
//! `report` may follow.
//!
//! `open` is not among the calls here: a `Turn` begins with its effects. `receive` is made whenever bytes
//! arrive and `may_receive` holds, `suspend` when the host wants it and `may_suspend` holds. `set-limits` may be called
//! at any time.

/// A point in time, as in `wit/types.wit`: nanoseconds on a clock that never runs backwards.
pub type Instant = u64;

/// What happens to a socket after a call: `next` in `wit/types.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It stays open.
    Open,
    /// It stays open, but is not read.
    Pause,
    /// The component is done.
    Close,
    /// The component gives up the peer.
    Abort,
}

/// A call that the host now makes into the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `receive-eof`.
    ReceiveEof,
    /// `wake`.
    Wake,
    /// `shutdown`.
    Shutdown,
    /// `lost`.
    Lost,
    /// `report`.
    Report,
    /// `resume`, in place of the call that would have been made had the connection not been suspended. After its
    /// effects, the host asks again.
    Resume,
}

/// How the host ends the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Sends all output, then closes so that the peer can read it to the end.
    Close,
    /// Closes at once; unsent output may be discarded.
    Abort,
    /// Sends the final bytes after all output, then closes like [`Close`](Self::Close).
    FinalBytes,
}

/// The state of one taken-over connection, as the contract sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    phase: Phase,
    input: Input,
    shutdown: Shutdown,
    /// The number of bytes of output that the host has not been able to send.
    unsent: usize,
    wake_at: Option<Instant>,
}

/// Whether the component or the host has the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The component, which wants input.
    #[default]
    Reading,
    /// The component, which wants no input for now.
    Paused,
    /// None: the host keeps the connection as a state.
    Suspended,
    /// The host. The component may still be asked for a report.
    Ended,
    /// The host. The component has had its last call.
    Over,
}

/// Whether the component knows that the peer has finished sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Input {
    #[default]
    Open,
    EofTold,
}

/// Whether the component knows that the connection is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shutdown {
    #[default]
    Untold,
    Told,
}

impl Turn {
    /// A connection whose `open`, or `resume`, has just been called: its effects come next.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the connection goes on: the component has not ended it, and the socket was not lost.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Ended | Phase::Over)
    }

    /// Whether the host keeps the connection as a state.
    #[inline]
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.phase == Phase::Suspended
    }

    /// Whether the socket is to be read, and `receive` and `receive-eof` may be called.
    ///
    /// "Not called while output of this connection is unsent, nor after a `next` of `pause`."
    #[inline]
    #[must_use]
    pub fn may_receive(&self) -> bool {
        self.phase == Phase::Reading && self.input == Input::Open && self.unsent == 0
    }

    /// Whether publications may be delivered, and events of topics told.
    ///
    /// "Like `receive`, not called while output is unsent [..]; but also after `pause`."
    #[inline]
    #[must_use]
    pub fn may_deliver(&self) -> bool {
        matches!(self.phase, Phase::Reading | Phase::Paused) && self.unsent == 0
    }

    /// Whether `suspend` may be called, by a host that has no `wake` outstanding but the one of `wake-at`. The
    /// connection is the same afterwards, unless the host keeps the state: see [`on_suspended`](Self::on_suspended).
    ///
    /// "Called [..] whenever `receive` may be called." A connection that has been told to end is left to do so: a
    /// state does not say that it was.
    #[inline]
    #[must_use]
    pub fn may_suspend(&self) -> bool {
        self.may_receive() && self.shutdown == Shutdown::Untold
    }

    /// The host keeps the state that `suspend` has returned, and has dropped the connection. Only where
    /// [`may_suspend`](Self::may_suspend) holds; has no effect otherwise.
    #[inline]
    pub fn on_suspended(&mut self) {
        if self.may_suspend() {
            self.phase = Phase::Suspended;
        }
    }

    /// When the component wants to be woken.
    #[inline]
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    /// The number of bytes of output that the host has not been able to send, for `wake`.
    #[inline]
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// A call has had these effects. Returns how the socket ends, if it does.
    ///
    /// After this the host sends the output, and reports with [`on_sent`](Self::on_sent) how much is left.
    #[inline]
    #[must_use]
    pub fn on_effects(&mut self, next: Next, wake_at: Option<Instant>) -> Option<Ending> {
        if !self.is_open() {
            return None;
        }
        self.wake_at = wake_at;
        match next {
            Next::Open => self.phase = Phase::Reading,
            Next::Pause => self.phase = Phase::Paused,
            Next::Close => return self.end(Ending::Close),
            Next::Abort => return self.end(Ending::Abort),
        }
        None
    }

    /// The host has sent as much as the socket takes, and this many bytes are left. The last of them earn a wake:
    /// "all output is sent, after an earlier call had left some unsent".
    #[inline]
    #[must_use]
    pub fn on_sent(&mut self, unsent: usize) -> Option<Call> {
        let was_unsent = self.unsent > 0;
        self.unsent = unsent;
        if was_unsent && unsent == 0 {
            self.wake()
        } else {
            None
        }
    }

    /// The peer has finished sending. Where [`may_receive`](Self::may_receive) does not hold yet, the host
    /// asks again once it does.
    ///
    /// "Called at most once, and no `receive` follows."
    #[inline]
    #[must_use]
    pub fn on_eof(&mut self) -> Option<Call> {
        if self.is_suspended() {
            return Some(Call::Resume);
        }
        if !self.may_receive() {
            return None;
        }
        self.input = Input::EofTold;
        Some(Call::ReceiveEof)
    }

    /// The time is `now`. Wakes the component if it asked for that, and never early.
    #[inline]
    #[must_use]
    pub fn on_time(&mut self, now: Instant) -> Option<Call> {
        if self.wake_at.is_some_and(|at| at <= now) {
            self.wake()
        } else {
            None
        }
    }

    /// Another call has named the connection in `wake-others`, or something outside that it waits for is ready.
    #[inline]
    #[must_use]
    pub fn on_woken(&mut self) -> Option<Call> {
        self.wake()
    }

    /// The host wants the connection to end cleanly.
    ///
    /// "Called at most once, possibly while output is unsent."
    #[inline]
    #[must_use]
    pub fn on_stop(&mut self) -> Option<Call> {
        if self.is_suspended() {
            return Some(Call::Resume);
        }
        if !self.is_open() || self.shutdown == Shutdown::Told {
            return None;
        }
        self.shutdown = Shutdown::Told;
        Some(Call::Shutdown)
    }

    /// The socket failed, or the host gave it up. A component that has let go of it is not told.
    #[inline]
    #[must_use]
    pub fn on_lost(&mut self) -> Option<Call> {
        if self.is_suspended() {
            return Some(Call::Resume);
        }
        self.is_open().then(|| {
            self.leave(Phase::Ended);
            Call::Lost
        })
    }

    /// Bytes have arrived, or something of a topic. Returns what the host does before the component can be given them, if
    /// it keeps the connection as a state.
    #[inline]
    #[must_use]
    pub fn on_arrival(&self) -> Option<Call> {
        self.is_suspended().then_some(Call::Resume)
    }

    /// The instance has died, or a suspended connection cannot be resumed. Returns how the socket ends if it was the component's: "a host never leaves a
    /// taken-over socket open without a component behind it."
    #[inline]
    #[must_use]
    pub fn on_died(&mut self) -> Option<Ending> {
        let was_open = self.is_open();
        self.leave(Phase::Over);
        was_open.then_some(Ending::FinalBytes)
    }

    /// The host asks for the outcome of the connection.
    ///
    /// "The last call, made at most once."
    #[inline]
    #[must_use]
    pub fn on_report(&mut self) -> Option<Call> {
        (self.phase == Phase::Ended).then(|| {
            self.leave(Phase::Over);
            Call::Report
        })
    }

    /// Each wake "uses up `wake-at`".
    #[inline]
    fn wake(&mut self) -> Option<Call> {
        if self.is_suspended() {
            return Some(Call::Resume);
        }
        self.wake_at = None;
        self.is_open().then_some(Call::Wake)
    }

    #[inline]
    fn end(&mut self, ending: Ending) -> Option<Ending> {
        self.leave(Phase::Ended);
        Some(ending)
    }

    #[inline]
    fn leave(&mut self, phase: Phase) {
        self.phase = phase;
        self.wake_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Turn {
        let mut turn = Turn::new();
        assert_eq!(turn.on_effects(Next::Open, None), None);
        turn
    }

    #[test]
    fn reads_only_when_open_and_flushed() {
        let mut turn = opened();
        assert!(turn.may_receive());
        assert_eq!(turn.on_sent(1), None);
        assert!(!turn.may_receive());
        assert_eq!(turn.on_sent(0), Some(Call::Wake));
        assert!(turn.may_receive());
        assert_eq!(turn.on_effects(Next::Pause, None), None);
        assert!(turn.is_open() && !turn.may_receive());
    }

    #[test]
    fn a_flush_wakes_only_if_output_was_unsent() {
        let mut turn = opened();
        assert_eq!(turn.on_sent(0), None);
        assert_eq!(turn.on_sent(2), None);
        assert_eq!(turn.on_sent(1), None);
        assert_eq!(turn.on_sent(0), Some(Call::Wake));
        assert_eq!(turn.on_sent(0), None);
    }

    #[test]
    fn wakes_at_the_instant_asked_for_and_once() {
        let mut turn = opened();
        assert_eq!(turn.on_effects(Next::Open, Some(5)), None);
        assert_eq!(turn.on_time(4), None);
        assert_eq!(turn.on_time(5), Some(Call::Wake));
        assert_eq!(turn.on_time(6), None);
    }

    #[test]
    fn any_wake_uses_up_the_instant_asked_for() {
        let mut turn = opened();
        assert_eq!(turn.on_effects(Next::Open, Some(5)), None);
        assert_eq!(turn.on_woken(), Some(Call::Wake));
        assert_eq!((turn.wake_at(), turn.on_time(5)), (None, None));
    }

    #[test]
    fn tells_eof_and_shutdown_once() {
        let mut turn = opened();
        assert_eq!(turn.on_eof(), Some(Call::ReceiveEof));
        assert_eq!((turn.on_eof(), turn.may_receive()), (None, false));
        assert_eq!(turn.on_stop(), Some(Call::Shutdown));
        assert_eq!(turn.on_stop(), None);
    }

    #[test]
    fn eof_waits_for_a_paused_component() {
        let mut turn = opened();
        assert_eq!(turn.on_effects(Next::Pause, None), None);
        assert_eq!(turn.on_eof(), None);
        assert_eq!(turn.on_effects(Next::Open, None), None);
        assert_eq!(turn.on_eof(), Some(Call::ReceiveEof));
    }

    #[test]
    fn only_a_report_follows_the_end() {
        for (next, ending) in [(Next::Close, Ending::Close), (Next::Abort, Ending::Abort)] {
            let mut turn = opened();
            assert_eq!(turn.on_sent(1), None);
            assert_eq!(turn.on_effects(next, Some(5)), Some(ending));
            assert!(!turn.is_open() && !turn.may_receive());
            assert_eq!((turn.on_sent(0), turn.on_time(5)), (None, None));
            assert_eq!((turn.on_woken(), turn.on_stop()), (None, None));
            assert_eq!((turn.on_eof(), turn.on_lost()), (None, None));
            assert_eq!(turn.on_report(), Some(Call::Report));
            assert_eq!(turn.on_report(), None);
        }
    }

    #[test]
    fn a_suspended_connection_is_resumed_before_anything_else() {
        let mut turn = opened();
        assert_eq!(turn.on_effects(Next::Open, Some(5)), None);
        assert!(turn.may_suspend());
        turn.on_suspended();
        assert!(turn.is_suspended() && !turn.may_receive() && !turn.may_deliver());
        assert_eq!((turn.on_time(4), turn.wake_at()), (None, Some(5)));
        let happenings: [fn(&mut Turn) -> Option<Call>; 6] = [
            |turn| turn.on_time(5),
            Turn::on_eof,
            Turn::on_woken,
            Turn::on_stop,
            Turn::on_lost,
            |turn| turn.on_arrival(),
        ];
        for happening in happenings {
            let mut turn = turn.clone();
            assert_eq!(happening(&mut turn), Some(Call::Resume));
            assert_eq!(turn.on_effects(Next::Open, None), None);
            assert!(turn.may_receive() && turn.on_arrival().is_none());
        }
        assert_eq!(turn.on_died(), Some(Ending::FinalBytes));
    }

    #[test]
    fn a_connection_that_may_not_receive_or_is_to_end_is_not_suspended() {
        let mut unsent = opened();
        assert_eq!(unsent.on_sent(1), None);
        let mut paused = opened();
        assert_eq!(paused.on_effects(Next::Pause, None), None);
        let mut stopping = opened();
        assert_eq!(stopping.on_stop(), Some(Call::Shutdown));
        for mut turn in [unsent, paused, stopping] {
            let before = turn.clone();
            turn.on_suspended();
            assert!(!turn.may_suspend() && turn == before);
        }
    }

    #[test]
    fn a_dead_instance_is_not_asked_for_a_report() {
        let mut turn = opened();
        assert_eq!(turn.on_died(), Some(Ending::FinalBytes));
        assert_eq!((turn.on_died(), turn.on_lost()), (None, None));
        assert_eq!(turn.on_report(), None);
        let mut turn = opened();
        assert_eq!(turn.on_effects(Next::Close, None), Some(Ending::Close));
        assert_eq!((turn.on_died(), turn.on_report()), (None, None));
    }
}
