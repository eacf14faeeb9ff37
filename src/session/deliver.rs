//! One publication for many connections of an instance.

use alloc::vec::Vec;

use super::{Effects, Session};
use crate::protocol::Instant;
use crate::topics::{Broadcast, Delivery, Form};

/// What a connection does with a publication: the result of [`Session::deliver`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The host sends it the [`Form`] with this number. When to wake it and the fate of its socket stay what they
    /// were.
    Form(u32),
    /// Anything.
    Effects(Effects),
}

/// Gives a publication to connections, one after the other: `deliver` of the WIT package.
///
/// ```
/// use wasocket::topics::Delivery;
/// use wasocket::{Deliver, Instant, Session};
///
/// fn deliver(now: Instant, delivery: Delivery, connections: &mut [Box<dyn Session>]) {
///     let mut deliver = Deliver::new(now, delivery, Vec::new());
///     for connection in connections {
///         deliver.to(&mut **connection);
///     }
///     let deliveries = deliver.finish();
///     // Send the bytes of the shared form to all connections except those in `deliveries.exceptions`.
/// }
/// ```
#[derive(Debug)]
pub struct Deliver {
    now: Instant,
    broadcast: Broadcast,
    /// Connections one after the other that are sent the same form, and how many; `None` for one with effects.
    runs: Vec<(Option<u32>, usize)>,
    effects: Vec<Effects>,
}

/// The result: what the connections are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// The forms that the host did not know.
    pub forms: Vec<Form>,
    /// The number of the form that all connections are sent that are not among the exceptions; `None` if they are
    /// all exceptions.
    pub shared: Option<u32>,
    /// The others, each by its place among the connections, in order.
    pub exceptions: Vec<(usize, Delivered)>,
}

impl Deliver {
    /// Begins to deliver. `known` are the numbers of the forms that the host has from other instances.
    #[must_use]
    pub fn new(now: Instant, delivery: Delivery, known: Vec<u32>) -> Self {
        Self {
            now,
            broadcast: Broadcast::new(delivery, known),
            runs: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Gives the publication to the next connection, which must have no unsent output.
    pub fn to(&mut self, session: &mut dyn Session) {
        let form = match session.deliver(self.now, &self.broadcast) {
            Delivered::Form(number) => Some(number),
            Delivered::Effects(effects) => {
                self.effects.push(effects);
                None
            }
        };
        match self.runs.last_mut() {
            Some((last, count)) if *last == form => *count += 1,
            _ => self.runs.push((form, 1)),
        }
    }

    /// The result for all connections.
    #[must_use]
    pub fn finish(self) -> Deliveries {
        let shared = most_frequent(&self.runs);
        let mut effects = self.effects.into_iter();
        let mut exceptions = Vec::new();
        let mut index = 0;
        for (form, count) in self.runs {
            let run = index..index + count;
            index = run.end;
            if form.is_some() && form == shared {
                continue;
            }
            exceptions.extend(run.filter_map(|index| {
                let delivered = match form {
                    Some(number) => Delivered::Form(number),
                    None => Delivered::Effects(effects.next()?),
                };
                Some((index, delivered))
            }));
        }
        Deliveries {
            forms: self.broadcast.take_forms(),
            shared,
            exceptions,
        }
    }
}

/// The form that most connections are sent.
fn most_frequent(runs: &[(Option<u32>, usize)]) -> Option<u32> {
    // There are only a few.
    let mut counts: Vec<(u32, usize)> = Vec::new();
    for (form, count) in runs {
        let Some(form) = form else { continue };
        match counts.iter_mut().find(|(other, _)| other == form) {
            Some(counted) => counted.1 += count,
            None => counts.push((*form, *count)),
        }
    }
    let (form, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(form)
}
