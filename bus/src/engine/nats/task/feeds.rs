//! The subscriptions: one for each topic.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_nats::{Message, Subscriber};
use futures_util::stream::{AbortHandle, Abortable, SelectAll};
use futures_util::{Stream, StreamExt};

use crate::topic::Topic;

/// The subscriptions.
#[derive(Default)]
pub(super) struct Feeds {
    all: SelectAll<Abortable<Feed>>,
    handles: HashMap<Topic, AbortHandle>,
}

/// One subscription. Dropped, it tells the server to stop.
struct Feed {
    topic: Topic,
    subscriber: Subscriber,
}

impl Stream for Feed {
    type Item = (Topic, Message);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = self.subscriber.poll_next_unpin(context);
        message.map(|message| Some((self.topic.clone(), message?)))
    }
}

impl Feeds {
    /// Adds a subscription, in the place of one to the same topic.
    pub(super) fn insert(&mut self, topic: Topic, subscriber: Subscriber) {
        let (handle, registration) = AbortHandle::new_pair();
        let feed = Feed {
            topic: topic.clone(),
            subscriber,
        };
        self.all.push(Abortable::new(feed, registration));
        if let Some(replaced) = self.handles.insert(topic, handle) {
            replaced.abort();
        }
    }

    pub(super) fn remove(&mut self, topic: &Topic) {
        if let Some(handle) = self.handles.remove(topic) {
            handle.abort();
        }
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.handles.keys()
    }

    /// The next message; `None` if there is no subscription. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Option<(Topic, Message)> {
        self.all.next().await
    }
}
