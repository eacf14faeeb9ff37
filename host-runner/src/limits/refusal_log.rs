//! A limit on the log lines about refused clients, so that a flood of refusals does not fill the disk.
//!
//! Each address has ten lines in ten seconds. Further refusals are counted, and the number is logged with the next line
//! of that address, or once its time is over.

use std::collections::HashMap;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::per_address::network;

/// The time for which lines are counted.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);

/// The most lines of an address in that time.
const MAX_LINES: u32 = 10;

/// The most addresses to tell apart; further ones share the lines of the unknown address.
const MAX_ADDRESSES: usize = 4096;

/// The address to count by; `None` for clients on Unix sockets.
type Key = Option<IpAddr>;

/// The lines about refusals, over all workers. Locked for each refusal.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog(Mutex<HashMap<Key, Window>>);

/// The lines of one address.
#[derive(Debug)]
struct Window {
    end: Instant,
    lines: u32,
    suppressed: u64,
}

impl RefusalLog {
    /// Whether a refusal of this address is logged. If so, returns the number of those before it that were not.
    pub(crate) fn admit(&self, address: Option<IpAddr>, now: Instant) -> Option<u64> {
        let mut windows = self.windows();
        let mut key = address.map(network);
        if windows.len() >= MAX_ADDRESSES && !windows.contains_key(&key) {
            key = Some(Ipv6Addr::UNSPECIFIED.into());
        }
        let window = windows.entry(key);
        window.or_insert_with(|| Window::beginning(now)).admit(now)
    }

    /// Forgets the addresses whose time is over. Returns those with refusals that were not logged, and their number.
    pub(crate) fn sweep(&self, now: Instant) -> Vec<(Option<IpAddr>, u64)> {
        let mut left = Vec::new();
        self.windows().retain(|key, window| {
            let is_over = now >= window.end;
            if is_over && window.suppressed > 0 {
                left.push((*key, window.suppressed));
            }
            !is_over
        });
        left
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<Key, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn beginning(now: Instant) -> Self {
        Self {
            end: now + WINDOW,
            lines: 0,
            suppressed: 0,
        }
    }

    fn admit(&mut self, now: Instant) -> Option<u64> {
        if now >= self.end {
            self.end = now + WINDOW;
            self.lines = 0;
        }
        if self.lines == MAX_LINES {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_it_does_not_log() {
        let log = RefusalLog::default();
        let one = Some(IpAddr::from([192, 0, 2, 1]));
        let start = Instant::now();
        for _ in 0..MAX_LINES {
            assert_eq!(log.admit(one, start), Some(0));
        }
        assert_eq!(log.admit(one, start), None);
        assert_eq!(log.admit(one, start), None);
        assert_eq!(log.admit(None, start), Some(0), "another client");
        assert_eq!(log.sweep(start), []);
        assert_eq!(log.admit(one, start + WINDOW), Some(2));
        for _ in 0..MAX_LINES {
            log.admit(one, start + WINDOW);
        }
        assert_eq!(log.sweep(start + 2 * WINDOW), [(one, 1)]);
        assert_eq!(log.sweep(start + 2 * WINDOW), []);
    }

    #[test]
    fn remembers_a_limited_number_of_addresses() {
        let log = RefusalLog::default();
        let now = Instant::now();
        for number in 0..100_000_u32 {
            log.admit(Some(IpAddr::from(number.to_be_bytes())), now);
        }
        assert!(log.windows().len() <= MAX_ADDRESSES + 1);
        assert!(!log.sweep(now + WINDOW).is_empty());
    }
}
