//! Who is let in: how many connections an address may have at once, how many it may make in a second, and how many
//! requests.
//!
//! What is counted is an IPv4 address, or the /64 of an IPv6 one, of which a single customer has all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use wasocket_host_core::http1::Refusal;

use crate::limits::token_bucket::Bucket;
use crate::net::address::is_public;

/// How many addresses are remembered, for what they did in the last second; and of those with a connection all, and
/// as many besides.
const MAX_REMEMBERED: usize = 16 * 1024;

/// A limit on each address. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The most.
    pub most: u32,
    /// Whether it holds for addresses that are not public, too: usually a proxy has one of those.
    pub everywhere: bool,
}

impl Rule {
    /// A limit on public addresses.
    #[must_use]
    pub fn public(most: u32) -> Self {
        Self {
            most,
            everywhere: false,
        }
    }

    /// A limit on all addresses.
    #[must_use]
    pub fn everywhere(most: u32) -> Self {
        Self {
            most,
            everywhere: true,
        }
    }

    fn of(self, is_public: bool) -> u32 {
        if is_public || self.everywhere {
            self.most
        } else {
            0
        }
    }
}

/// What each address may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerAddress {
    /// The connections at once.
    pub connections: Rule,
    /// The new connections in a second.
    pub handshakes: Rule,
    /// The requests in a second.
    pub requests: Rule,
}

impl PerAddress {
    /// What holds for this address.
    fn of(self, remote: IpAddr) -> Shares {
        let is_public = is_public(remote);
        Shares {
            connections: self.connections.of(is_public),
            handshakes: self.handshakes.of(is_public),
            requests: self.requests.of(is_public),
        }
    }
}

/// The limits on one address.
#[derive(Clone, Copy, Debug)]
struct Shares {
    connections: u32,
    handshakes: u32,
    requests: u32,
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The address has as many as it may.
    Connections,
    /// It makes them too fast.
    Handshakes,
}

impl Denial {
    /// The answer to a request for one more connection on another: a stream of HTTP/2.
    pub(crate) fn refusal(self) -> Refusal {
        Refusal {
            status: 429,
            reason: match self {
                Self::Connections => "Your address has too many connections already",
                Self::Handshakes => "Your address makes too many connections",
            },
        }
    }

    /// The answer (RFC 6585 §4), which needs no request: nothing of it would change the matter.
    pub(crate) fn response(self) -> &'static [u8] {
        match self {
            Self::Connections => {
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\nContent-Type: text/plain\r\n\
                Content-Length: 46\r\nConnection: close\r\n\r\nYour address has too many connections \
                already\n"
            }
            Self::Handshakes => {
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n\
                Content-Length: 40\r\nConnection: close\r\n\r\nYour address makes too many connections\n"
            }
        }
    }
}

/// The answer to a client whose address sends too many requests, on the connections that it has (RFC 6585 §4).
pub(crate) const TOO_MANY_REQUESTS: Refusal = Refusal {
    status: 429,
    reason: "Your address sends too many requests",
};

/// A request beyond the rate of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyRequests {
    /// Whether the one before was answered. The others are not logged: a flood would fill the disk.
    pub(crate) is_first: bool,
}

/// The addresses that have connections, or had some a moment ago. Of all workers together: locked when a
/// connection comes and when it ends.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: PerAddress,
    addresses: Mutex<Addresses>,
}

/// Who is known, by the address.
#[derive(Debug)]
struct Addresses {
    visitors: HashMap<IpAddr, Visitor>,
    /// How many there are when those without a connection are forgotten.
    most: usize,
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            visitors: HashMap::new(),
            most: MAX_REMEMBERED,
        }
    }
}

impl Addresses {
    /// Forgets who has no connection, when that are many: that costs as much as they took to come. Who has so
    /// many addresses at hand is not stopped by a rate of each.
    fn make_room(&mut self) {
        if self.visitors.len() >= self.most {
            self.visitors.retain(|_, visitor| visitor.open > 0);
            self.most = MAX_REMEMBERED.max(self.visitors.len().saturating_mul(2));
        }
    }
}

/// What is known of an address.
#[derive(Debug)]
struct Visitor {
    open: u32,
    handshakes: Bucket,
    requests: Bucket,
    /// Whether its last request was beyond its rate.
    is_refused: bool,
}

impl Admission {
    pub(crate) fn new(limits: PerAddress) -> Arc<Self> {
        Arc::new(Self {
            limits,
            addresses: Mutex::default(),
        })
    }

    /// Lets a connection in, for as long as the visit is kept.
    pub(crate) fn admit(self: &Arc<Self>, remote: IpAddr, now: Instant) -> Result<Visit, Denial> {
        let limits = self.limits.of(remote.to_canonical());
        if limits.connections == 0 && limits.handshakes == 0 {
            return Ok(Visit(None));
        }
        let network = network(remote);
        self.visitor(network, limits, now, |visitor| visitor.admit(limits, now))?;
        Ok(Visit(Some((Arc::clone(self), network))))
    }

    /// Lets a request be answered, if its address is within its rate.
    pub(crate) fn ask(&self, remote: IpAddr, now: Instant) -> Result<(), TooManyRequests> {
        let limits = self.limits.of(remote.to_canonical());
        if limits.requests == 0 {
            return Ok(());
        }
        self.visitor(network(remote), limits, now, |visitor| {
            visitor.ask(limits, now)
        })
    }

    fn visitor<R>(
        &self,
        network: IpAddr,
        limits: Shares,
        now: Instant,
        then: impl FnOnce(&mut Visitor) -> R,
    ) -> R {
        let mut addresses = self.addresses();
        addresses.make_room();
        then(
            addresses
                .visitors
                .entry(network)
                .or_insert_with(|| Visitor {
                    open: 0,
                    handshakes: Bucket::full(limits.handshakes, now),
                    requests: Bucket::full(limits.requests, now),
                    is_refused: false,
                }),
        )
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    fn admit(&mut self, limits: Shares, now: Instant) -> Result<(), Denial> {
        if limits.connections > 0 && self.open >= limits.connections {
            return Err(Denial::Connections);
        }
        if !self.handshakes.take(limits.handshakes, now) {
            return Err(Denial::Handshakes);
        }
        self.open = self.open.saturating_add(1);
        Ok(())
    }

    fn ask(&mut self, limits: Shares, now: Instant) -> Result<(), TooManyRequests> {
        let is_first = !self.is_refused;
        self.is_refused = !self.requests.take(limits.requests, now);
        if self.is_refused {
            return Err(TooManyRequests { is_first });
        }
        Ok(())
    }
}

/// What counts as one.
fn network(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// A connection that is let in, and counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Visit(Option<(Arc<Admission>, IpAddr)>);

impl Drop for Visit {
    fn drop(&mut self) {
        let Some((admission, network)) = &self.0 else {
            return;
        };
        if let Some(visitor) = admission.addresses().visitors.get_mut(network) {
            visitor.open = visitor.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn limits(connections: u32, handshakes: u32, everywhere: bool) -> Arc<Admission> {
        let rule = |most| Rule { most, everywhere };
        Admission::new(PerAddress {
            connections: rule(connections),
            handshakes: rule(handshakes),
            requests: rule(0),
        })
    }

    fn of(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_its_connections_until_they_end() {
        let admission = limits(2, 0, false);
        let now = Instant::now();
        let admit = |address| admission.admit(of(address), now);
        let first = admit("1.1.1.1").expect("room");
        let _second = admit("::ffff:1.1.1.1").expect("room: the same, mapped");
        assert_eq!(admit("1.1.1.1").err(), Some(Denial::Connections));
        let _other = admit("1.1.1.2").expect("another address");
        drop(first);
        admit("1.1.1.1").expect("room again");
    }

    #[test]
    fn a_prefix_of_64_bits_is_one_address() {
        let admission = limits(1, 0, false);
        let now = Instant::now();
        let _visit = admission.admit(of("2600:1:2:3::1"), now).expect("room");
        let same = admission.admit(of("2600:1:2:3:ffff::2"), now);
        assert_eq!(same.err(), Some(Denial::Connections));
        admission.admit(of("2600:1:2:4::1"), now).expect("another");
    }

    #[test]
    fn handshakes_come_back_with_time() {
        let admission = limits(0, 2, false);
        let now = Instant::now();
        let admit = |later| admission.admit(of("1.1.1.1"), now + Duration::from_millis(later));
        assert!(admit(0).is_ok() && admit(0).is_ok());
        assert_eq!(admit(499).err(), Some(Denial::Handshakes));
        assert!(admit(500).is_ok());
        assert_eq!(admit(500).err(), Some(Denial::Handshakes));
        assert!(admit(9_000).is_ok() && admit(9_000).is_ok());
        assert!(admit(9_000).is_err(), "not more than in a second");
    }

    #[test]
    fn requests_have_a_rate_of_their_own() {
        let admission = Admission::new(PerAddress {
            requests: Rule::public(2),
            ..limits(0, 0, false).limits
        });
        let now = Instant::now();
        let ask = |later| admission.ask(of("1.1.1.1"), now + Duration::from_millis(later));
        let refused = |is_first| Err(TooManyRequests { is_first });
        assert_eq!([ask(0), ask(0), ask(499)], [Ok(()), Ok(()), refused(true)]);
        assert_eq!(ask(499), refused(false));
        assert!(admission.ask(of("1.1.1.2"), now).is_ok());
        assert_eq!([ask(500), ask(500)], [Ok(()), refused(true)]);
        assert!((0..10).all(|_| admission.ask(of("10.0.0.1"), now).is_ok()));
        assert!(admission.admit(of("1.1.1.1"), now).is_ok());
    }

    #[test]
    fn private_addresses_are_limited_if_asked_for() {
        let now = Instant::now();
        for (of_all, third) in [(false, None), (true, Some(Denial::Connections))] {
            let admission = limits(1, 0, of_all);
            for address in ["127.0.0.1", "10.0.0.1", "fd00::1", "::1"] {
                let _visit = admission.admit(of(address), now).expect("room");
                assert_eq!(admission.admit(of(address), now).err(), third, "{address}");
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let admission = limits(1, 1, true);
        let now = Instant::now();
        let _kept = admission.admit(of("9.9.9.9"), now).expect("room");
        for bits in 0..200_000 {
            let address = Ipv4Addr::from_bits(bits);
            admission.admit(address.into(), now).expect("room");
        }
        let addresses = admission.addresses();
        let visitors = &addresses.visitors;
        assert!(visitors.len() <= MAX_REMEMBERED, "{}", visitors.len());
        assert_eq!(visitors.get(&of("9.9.9.9")).map(|kept| kept.open), Some(1));
    }

    #[test]
    fn answers_have_the_length_they_announce() {
        for denial in [Denial::Connections, Denial::Handshakes] {
            let text = String::from_utf8_lossy(denial.response()).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(
                head.contains(&format!("Content-Length: {}\r\n", body.len())),
                "{text}"
            );
        }
    }
}
