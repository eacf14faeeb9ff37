//! Limits per client address: open connections, new connections per second, requests per second.
//!
//! An address is an IPv4 address or an IPv6 /64, since a single customer usually has a whole /64.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use wasocket_host_core::http1::{Refusal, Refused};

use crate::limits::token_bucket::TokenBucket;
use crate::net::address::is_public;

/// The number of addresses to remember. Addresses with open connections are always remembered, and as many
/// others.
const MAX_REMEMBERED: usize = 16 * 1024;

/// A limit on each address; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimit {
    /// The limit itself.
    pub max: u32,
    /// Whether it also applies to addresses that are not public, which a proxy usually has.
    pub everywhere: bool,
}

impl AddressLimit {
    /// A limit on public addresses.
    #[must_use]
    pub fn public(max: u32) -> Self {
        Self {
            max,
            everywhere: false,
        }
    }

    /// A limit on all addresses.
    #[must_use]
    pub fn everywhere(max: u32) -> Self {
        Self {
            max,
            everywhere: true,
        }
    }

    fn of(self, is_public: bool) -> u32 {
        if is_public || self.everywhere {
            self.max
        } else {
            0
        }
    }
}

/// The limits on each address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerAddressLimits {
    /// Open connections.
    pub connections: AddressLimit,
    /// New connections per second.
    pub handshakes: AddressLimit,
    /// Requests per second.
    pub requests: AddressLimit,
}

impl PerAddressLimits {
    /// The limits that apply to this address.
    fn of(self, remote: IpAddr) -> EffectiveLimits {
        let is_public = is_public(remote);
        EffectiveLimits {
            connections: self.connections.of(is_public),
            handshakes: self.handshakes.of(is_public),
            requests: self.requests.of(is_public),
        }
    }
}

/// The limits that apply to one address; 0 is no limit.
#[derive(Clone, Copy, Debug)]
struct EffectiveLimits {
    connections: u32,
    handshakes: u32,
    requests: u32,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The address has as many connections as it may have, which is this number.
    Connections(u32),
    /// The address opens more than this number of connections per second.
    Handshakes(u32),
}

impl Denial {
    /// The response to an HTTP/2 stream that would become a connection, and the limit for the log.
    pub(crate) fn refused(self) -> Refused {
        let (reason, limit) = match self {
            Self::Connections(max) => (
                "Your address has too many connections already",
                format!("{max} (--max-connections-per-address)"),
            ),
            Self::Handshakes(max) => (
                "Your address makes too many connections",
                format!("more than {max} per second (--max-handshakes-per-address)"),
            ),
        };
        Refusal::new(429, reason).with(limit)
    }

    /// The response (RFC 6585 §4) to a socket, sent without reading a request.
    pub(crate) fn response(self) -> &'static [u8] {
        match self {
            Self::Connections(_) => {
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\nContent-Type: text/plain\r\n\
                Content-Length: 46\r\nConnection: close\r\n\r\nYour address has too many connections \
                already\n"
            }
            Self::Handshakes(_) => {
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n\
                Content-Length: 40\r\nConnection: close\r\n\r\nYour address makes too many connections\n"
            }
        }
    }
}

/// The response to a client whose address sends too many requests on the connections it has (RFC 6585 §4).
const TOO_MANY_REQUESTS: Refusal = Refusal::new(429, "Your address sends too many requests");

/// A request beyond the rate of its address, which is this number per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyRequests(u32);

impl TooManyRequests {
    /// The response, and the limit for the log.
    pub(crate) fn refused(self) -> Refused {
        let Self(max) = self;
        TOO_MANY_REQUESTS.with(format!(
            "more than {max} per second (--max-requests-per-address)"
        ))
    }
}

/// Enforces the limits, over all workers. Locked when a connection opens or ends, and for each request if requests
/// are limited.
#[derive(Debug)]
pub(crate) struct PerAddressLimiter {
    limits: PerAddressLimits,
    addresses: Mutex<Addresses>,
}

/// The known addresses.
#[derive(Debug)]
struct Addresses {
    states: HashMap<IpAddr, AddressState>,
    /// The number at which addresses without connections are forgotten.
    threshold: usize,
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            states: HashMap::new(),
            threshold: MAX_REMEMBERED,
        }
    }
}

impl Addresses {
    /// Forgets addresses without connections once there are many, which costs no more than adding them did. A client
    /// with that many addresses would not be stopped by a rate per address anyway.
    fn make_room(&mut self) {
        if self.states.len() >= self.threshold {
            self.states.retain(|_, state| state.open > 0);
            self.threshold = MAX_REMEMBERED.max(self.states.len().saturating_mul(2));
        }
    }
}

/// The state of one address.
#[derive(Debug)]
struct AddressState {
    open: u32,
    handshakes: TokenBucket,
    requests: TokenBucket,
}

impl PerAddressLimiter {
    pub(crate) fn new(limits: PerAddressLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            addresses: Mutex::default(),
        })
    }

    /// Admits a connection, which counts until the permit is dropped.
    pub(crate) fn admit(
        self: &Arc<Self>,
        remote: IpAddr,
        now: Instant,
    ) -> Result<AddressPermit, Denial> {
        let limits = self.limits.of(remote.to_canonical());
        self.open(remote, limits, limits, now)
    }

    /// Admits a connection that another process has admitted, whatever the limits.
    pub(crate) fn adopt(self: &Arc<Self>, remote: IpAddr, now: Instant) -> AddressPermit {
        let limits = self.limits.of(remote.to_canonical());
        if limits.connections == 0 && limits.handshakes == 0 {
            return AddressPermit(None);
        }
        let network = network(remote);
        self.state(network, limits, now, |state| {
            state.open = state.open.saturating_add(1);
        });
        AddressPermit(Some((Arc::clone(self), network)))
    }

    /// `checked` are those of the limits that this is checked against.
    fn open(
        self: &Arc<Self>,
        remote: IpAddr,
        limits: EffectiveLimits,
        checked: EffectiveLimits,
        now: Instant,
    ) -> Result<AddressPermit, Denial> {
        if checked.connections == 0 && checked.handshakes == 0 {
            return Ok(AddressPermit(None));
        }
        let network = network(remote);
        self.state(network, limits, now, |state| state.admit(checked, now))?;
        Ok(AddressPermit(Some((Arc::clone(self), network))))
    }

    /// Admits a request that counts like a connection for as long as it waits for its answer, but not towards the rate of
    /// new ones.
    pub(crate) fn hold(
        self: &Arc<Self>,
        remote: IpAddr,
        now: Instant,
    ) -> Result<AddressPermit, Denial> {
        let limits = self.limits.of(remote.to_canonical());
        let checked = EffectiveLimits {
            handshakes: 0,
            ..limits
        };
        self.open(remote, limits, checked, now)
    }

    /// Lets a request be answered, if its address is within its rate.
    pub(crate) fn allow_request(
        &self,
        remote: IpAddr,
        now: Instant,
    ) -> Result<(), TooManyRequests> {
        let limits = self.limits.of(remote.to_canonical());
        if limits.requests == 0 {
            return Ok(());
        }
        let is_allowed = self.state(network(remote), limits, now, |state| {
            state.requests.take(limits.requests, now)
        });
        is_allowed
            .then_some(())
            .ok_or(TooManyRequests(limits.requests))
    }

    fn state<R>(
        &self,
        network: IpAddr,
        limits: EffectiveLimits,
        now: Instant,
        then: impl FnOnce(&mut AddressState) -> R,
    ) -> R {
        let mut addresses = self.addresses();
        addresses.make_room();
        then(
            addresses
                .states
                .entry(network)
                .or_insert_with(|| AddressState {
                    open: 0,
                    handshakes: TokenBucket::full(limits.handshakes, now),
                    requests: TokenBucket::full(limits.requests, now),
                }),
        )
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl AddressState {
    fn admit(&mut self, limits: EffectiveLimits, now: Instant) -> Result<(), Denial> {
        if limits.connections > 0 && self.open >= limits.connections {
            return Err(Denial::Connections(limits.connections));
        }
        if !self.handshakes.take(limits.handshakes, now) {
            return Err(Denial::Handshakes(limits.handshakes));
        }
        self.open = self.open.saturating_add(1);
        Ok(())
    }
}

/// The address to count by.
pub(crate) fn network(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// An admitted connection, which counts until this is dropped.
#[derive(Debug)]
pub(crate) struct AddressPermit(Option<(Arc<PerAddressLimiter>, IpAddr)>);

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let Some((limiter, network)) = &self.0 else {
            return;
        };
        if let Some(state) = limiter.addresses().states.get_mut(network) {
            state.open = state.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn limits(connections: u32, handshakes: u32, everywhere: bool) -> Arc<PerAddressLimiter> {
        let rule = |max| AddressLimit { max, everywhere };
        PerAddressLimiter::new(PerAddressLimits {
            connections: rule(connections),
            handshakes: rule(handshakes),
            requests: rule(0),
        })
    }

    fn of(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn limits_connections_until_they_end() {
        let limiter = limits(2, 0, false);
        let now = Instant::now();
        let admit = |address| limiter.admit(of(address), now);
        let first = admit("1.1.1.1").expect("room");
        let _second = admit("::ffff:1.1.1.1").expect("room: the same, mapped");
        assert_eq!(admit("1.1.1.1").err(), Some(Denial::Connections(2)));
        let _other = admit("1.1.1.2").expect("another address");
        drop(first);
        admit("1.1.1.1").expect("room again");
    }

    #[test]
    fn a_prefix_of_64_bits_is_one_address() {
        let limiter = limits(1, 0, false);
        let now = Instant::now();
        let _permit = limiter.admit(of("2600:1:2:3::1"), now).expect("room");
        let same = limiter.admit(of("2600:1:2:3:ffff::2"), now);
        assert_eq!(same.err(), Some(Denial::Connections(1)));
        limiter.admit(of("2600:1:2:4::1"), now).expect("another");
    }

    #[test]
    fn handshakes_refill_over_time() {
        let limiter = limits(0, 2, false);
        let now = Instant::now();
        let admit = |later| limiter.admit(of("1.1.1.1"), now + Duration::from_millis(later));
        assert!(admit(0).is_ok() && admit(0).is_ok());
        assert_eq!(admit(499).err(), Some(Denial::Handshakes(2)));
        assert!(admit(500).is_ok());
        assert_eq!(admit(500).err(), Some(Denial::Handshakes(2)));
        assert!(admit(9_000).is_ok() && admit(9_000).is_ok());
        assert!(admit(9_000).is_err(), "not more than in a second");
    }

    #[test]
    fn requests_have_a_rate_of_their_own() {
        let limiter = PerAddressLimiter::new(PerAddressLimits {
            requests: AddressLimit::public(2),
            ..limits(0, 0, false).limits
        });
        let now = Instant::now();
        let ask = |later| limiter.allow_request(of("1.1.1.1"), now + Duration::from_millis(later));
        let refused = Err(TooManyRequests(2));
        assert_eq!([ask(0), ask(0), ask(499)], [Ok(()), Ok(()), refused]);
        assert!(limiter.allow_request(of("1.1.1.2"), now).is_ok());
        assert_eq!([ask(500), ask(500)], [Ok(()), refused]);
        assert!((0..10).all(|_| limiter.allow_request(of("10.0.0.1"), now).is_ok()));
        assert!(limiter.admit(of("1.1.1.1"), now).is_ok());
    }

    #[test]
    fn requests_that_wait_count_like_connections_but_not_towards_the_rate() {
        let limiter = limits(2, 1, true);
        let now = Instant::now();
        let connection = limiter.admit(of("1.1.1.1"), now).expect("room");
        let _request = limiter.hold(of("1.1.1.1"), now).expect("room");
        let full = Some(Denial::Connections(2));
        assert_eq!(limiter.hold(of("1.1.1.1"), now).err(), full);
        drop(connection);
        assert!(limiter.hold(of("1.1.1.1"), now).is_ok());
        let other = limiter.hold(of("1.1.1.2"), now).expect("room");
        assert!(limiter.admit(of("1.1.1.2"), now).is_ok(), "the first one");
        drop(other);
    }

    #[test]
    fn private_addresses_are_limited_only_on_request() {
        let now = Instant::now();
        for (of_all, third) in [(false, None), (true, Some(Denial::Connections(1)))] {
            let limiter = limits(1, 0, of_all);
            for address in ["127.0.0.1", "10.0.0.1", "fd00::1", "::1"] {
                let _permit = limiter.admit(of(address), now).expect("room");
                assert_eq!(limiter.admit(of(address), now).err(), third, "{address}");
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let limiter = limits(1, 1, true);
        let now = Instant::now();
        let _kept = limiter.admit(of("9.9.9.9"), now).expect("room");
        for bits in 0..200_000 {
            let address = Ipv4Addr::from_bits(bits);
            limiter.admit(address.into(), now).expect("room");
        }
        let addresses = limiter.addresses();
        let states = &addresses.states;
        assert!(states.len() <= MAX_REMEMBERED, "{}", states.len());
        assert_eq!(states.get(&of("9.9.9.9")).map(|kept| kept.open), Some(1));
    }

    #[test]
    fn responses_have_the_announced_length() {
        for denial in [Denial::Connections(1), Denial::Handshakes(1)] {
            let text = String::from_utf8_lossy(denial.response()).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(
                head.contains(&format!("Content-Length: {}\r\n", body.len())),
                "{text}"
            );
        }
    }
}
