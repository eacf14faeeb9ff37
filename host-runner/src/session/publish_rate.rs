//! The limits on what a connection publishes.

use std::task::{Context, Poll, ready};

use crate::contract::bindings::Instant;
use crate::limits::read_rate::ReadRate;
use crate::topics::settings::TopicSettings;

/// The limits on a connection's publications, and on the deliveries that they cause. Beyond them it is read more slowly:
/// what its client sends meanwhile waits, and nothing is dropped.
#[derive(Debug)]
pub(super) struct PublishRate {
    publications: Option<Box<ReadRate>>,
    deliveries: Option<Box<ReadRate>>,
    counted: (u64, u64),
}

impl PublishRate {
    /// `None` if there are no limits.
    pub(super) fn new(settings: &TopicSettings, now: Instant) -> Option<Box<Self>> {
        let publications = ReadRate::new(settings.max_publications_per_second, now);
        let deliveries = ReadRate::new(settings.max_deliveries_per_second, now);
        (publications.is_some() || deliveries.is_some()).then(|| {
            Box::new(Self {
                publications,
                deliveries,
                counted: (0, 0),
            })
        })
    }

    /// Ready when the connection may be read. `totals`: the publications and the deliveries up to now.
    pub(super) fn poll(
        &mut self,
        totals: (u64, u64),
        now: impl FnOnce() -> Instant,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if totals != self.counted {
            let now = now();
            count(&mut self.publications, totals.0, self.counted.0, now);
            count(&mut self.deliveries, totals.1, self.counted.1, now);
            self.counted = totals;
        }
        for rate in [&mut self.publications, &mut self.deliveries]
            .into_iter()
            .flatten()
        {
            ready!(rate.poll(context));
        }
        Poll::Ready(())
    }
}

fn count(rate: &mut Option<Box<ReadRate>>, total: u64, counted: u64, now: Instant) {
    let new = usize::try_from(total.saturating_sub(counted)).unwrap_or(usize::MAX);
    if let Some(rate) = rate
        && new > 0
    {
        rate.received(new, now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant as Time, timeout};

    use super::*;

    /// Both limits apply, each by itself.
    #[tokio::test]
    async fn a_connection_waits_until_it_has_made_up_for_what_it_published() {
        let settings = |publications, deliveries| TopicSettings {
            max_publications_per_second: publications,
            max_deliveries_per_second: deliveries,
            ..TopicSettings::default()
        };
        assert!(PublishRate::new(&settings(0, 0), 0).is_none());
        for settings in [settings(10, 0), settings(0, 1000), settings(10, 1000)] {
            let Some(mut rate) = PublishRate::new(&settings, 0) else {
                panic!("it has limits");
            };
            let mut poll = |totals, context: &mut Context<'_>| rate.poll(totals, || 0, context);
            let mut free = async |totals| {
                let poll = std::future::poll_fn(|context| poll(totals, context));
                timeout(Duration::from_millis(20), poll).await.is_ok()
            };
            assert!(free((10, 1000)).await);
            let since = Time::now();
            assert!(!free((11, 1100)).await, "it waits");
            while !free((11, 1100)).await {}
            assert!(since.elapsed() > Duration::from_millis(50));
        }
    }
}
