use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use crate::protocol::Instant;

/// The pings whose pongs the app waits for.
#[derive(Debug, Default)]
pub(super) struct Pings {
    waiting: Vec<Ping>,
    last: u64,
}

#[derive(Debug)]
struct Ping {
    number: u64,
    sent: Instant,
    /// The time until the pong came.
    took: Option<Duration>,
    waker: Waker,
}

impl Pings {
    /// The number of the next ping.
    pub(super) fn next(&self) -> u64 {
        self.last.wrapping_add(1)
    }

    /// Notes that a ping has been sent.
    pub(super) fn sent(&mut self, number: u64, now: Instant) {
        self.last = number;
        self.waiting.push(Ping {
            number,
            sent: now,
            took: None,
            waker: Waker::noop().clone(),
        });
    }

    /// Waits for the pong of a ping. Ready with `None` if there is no such ping.
    pub(super) fn poll(
        &mut self,
        number: u64,
        context: &mut Context<'_>,
    ) -> Poll<Option<Duration>> {
        let ping = self.waiting.iter_mut().find(|ping| ping.number == number);
        let Some(ping) = ping else {
            return Poll::Ready(None);
        };
        if ping.took.is_some() {
            return Poll::Ready(ping.took);
        }
        ping.waker.clone_from(context.waker());
        Poll::Pending
    }

    /// The app no longer waits for the pong of this ping.
    pub(super) fn forget(&mut self, number: u64) {
        self.waiting.retain(|ping| ping.number != number);
    }

    /// RFC 6455 §5.5.3: a peer may answer only the latest of several pings, so its pong also answers the
    /// earlier ones.
    pub(super) fn on_pong(&mut self, payload: &[u8], now: Instant) {
        let Some(number) = number(payload) else {
            return;
        };
        for ping in &mut self.waiting {
            if ping.number <= number && ping.took.is_none() {
                ping.took = Some(now.since(ping.sent));
                ping.waker.wake_by_ref();
            }
        }
    }

    pub(super) fn wake_all(&self) {
        self.waiting
            .iter()
            .for_each(|ping| ping.waker.wake_by_ref());
    }
}

/// Begins the payload of these pings, and tells them from the pings that the app sends itself.
const TAG: [u8; 8] = *b"wasocket";

pub(super) fn payload(number: u64) -> [u8; 16] {
    let mut payload = [0; 16];
    let (tag, rest) = payload.split_at_mut(TAG.len());
    tag.copy_from_slice(&TAG);
    rest.copy_from_slice(&number.to_be_bytes());
    payload
}

fn number(payload: &[u8]) -> Option<u64> {
    let number = payload.strip_prefix(&TAG)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}
