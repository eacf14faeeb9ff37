//! The end of a connection waits for the app's answers to the messages ahead of it.

use core::time::Duration;

use super::State;
use crate::protocol::Instant;

/// How often an app that has not asked for another message may still wait for room: enough for an answer of a
/// mebibyte in messages of 64 KiB.
const MAX_ROUNDS: u32 = 16;

/// How far the app is with the messages received before the end.
///
/// RFC 6455 §5.5.1: "An endpoint MAY delay sending a Close frame until its current message is sent". Here it waits
/// until the app has taken every message that came before the peer's Close frame, has answered the last one, or asks
/// for another, and no `send` waits for room. An app that does none of that keeps the peer waiting no longer than the
/// peer may keep us waiting for its own Close frame.
#[derive(Debug, Default)]
pub(super) struct LastAnswers {
    /// What the app has done since it took the last message.
    since: Since,
    /// How often the app has waited for room since then, while the end was waiting.
    rounds: u32,
    /// When the end waits no longer; `None` while it does not wait, or while the peer has yet to take output.
    until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Since {
    /// It has asked for another message, or has taken none yet.
    #[default]
    Asked,
    Taken,
    /// It has sent something, probably its answer.
    Answered,
}

impl LastAnswers {
    /// The app has taken a message, or part of one.
    pub(super) fn taken(&mut self) {
        *self = Self {
            since: Since::Taken,
            ..Self::default()
        };
    }

    /// The app waits for another message, and there is none.
    pub(super) fn asked(&mut self) {
        self.since = Since::Asked;
    }

    /// The app has sent something.
    pub(super) fn answered(&mut self) {
        if self.since == Since::Taken {
            self.since = Since::Answered;
        }
    }

    /// There is room again for those who waited for it.
    pub(super) fn has_room(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
    }

    /// The peer has yet to take output, so the app may not have been able to answer.
    pub(super) fn hold_time(&mut self) {
        self.until = None;
    }

    /// When the end waits no longer.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    fn may_wait_for_room(&self) -> bool {
        // What other functions send, to a peer that has left, need not go on.
        let most = if self.since == Since::Asked {
            1
        } else {
            MAX_ROUNDS
        };
        self.rounds < most
    }

    fn is_in_time(&mut self, now: Instant, patience: Duration) -> bool {
        now < *self.until.get_or_insert(now.after(patience))
    }
}

impl State {
    /// Whether the end of the connection, which has been received, has to wait for the app.
    pub(super) fn delays_end(&mut self) -> bool {
        if !self.connection.has_unanswered_end() {
            return false;
        }
        let is_answering = !self.inbox.is_empty() || self.last_answers.since == Since::Taken;
        let waits_for_room = !self.sending.is_empty() || !self.queueing.is_empty();
        let may_wait =
            self.connection.is_sending_message() || self.last_answers.may_wait_for_room();
        let patience = self.connection.limits().close_timeout;
        (is_answering || (waits_for_room && may_wait))
            && self.last_answers.is_in_time(self.now, patience)
    }
}
