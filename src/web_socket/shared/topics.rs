//! Topics of a connection whose app is a function: what it has been told, and what waits until it can be sent.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::Shared;
use super::state::State;
use crate::protocol::{CloseCode, Closed, Initiator, Instant, Prepared};
use crate::session::register;
use crate::topics::{Broadcast, OwnTopics, Receiver, TopicError, TopicEvent, TopicOperation};
use crate::web_socket::{Error, Published};

/// The most bytes that may wait: for the app, or for the end of a message that is being sent.
const MAX_WAITING: usize = 1 << 20;

/// What an item counts for besides its message.
const ITEM: usize = 64;

/// The most refusals that wait for the app.
const MAX_REFUSALS: usize = 16;

/// The longest header of a server's frame.
const MAX_HEADER: usize = 10;

/// What has come of topics. On the heap, and only there once something has.
#[derive(Debug, Default)]
pub(super) struct News(Option<Box<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// For the app.
    items: VecDeque<Published>,
    /// The bytes of the items.
    size: usize,
    /// Waiting for an item.
    wakers: Vec<Waker>,
    questions: Vec<Asked>,
    last_question: u64,
    /// For the peer, after the message that is being sent.
    held: Vec<Prepared>,
    held_size: usize,
}

/// A question to the host, and its answer.
#[derive(Debug)]
struct Asked {
    number: u64,
    operation: TopicOperation,
    topic: String,
    waker: Option<Waker>,
    answer: Option<TopicEvent>,
}

impl News {
    fn inner(&mut self) -> &mut Inner {
        self.0.get_or_insert_default()
    }

    /// Wakes all that wait.
    pub(super) fn wake_all(&mut self) {
        if let Some(inner) = &mut self.0 {
            inner.wakers.drain(..).for_each(Waker::wake);
            let wakers = inner.questions.iter_mut();
            let wakers = wakers.filter_map(|asked| asked.waker.take());
            wakers.for_each(Waker::wake);
            inner.held = Vec::new();
        }
    }
}

impl Inner {
    /// Returns false if there is no room.
    fn push(&mut self, item: Published) -> bool {
        if self.is_superfluous(&item) {
            return true;
        }
        let size = self.size.saturating_add(size(&item));
        if !self.items.is_empty() && size > MAX_WAITING {
            return false;
        }
        self.size = size;
        self.items.push_back(item);
        self.wakers.drain(..).for_each(Waker::wake);
        true
    }

    /// An app that does not look has no room for what comes again and again.
    fn is_superfluous(&self, item: &Published) -> bool {
        let is_refusal = |item: &&Published| matches!(item, Published::Refused(_));
        match item {
            Published::Refused(_) => self.items.iter().filter(is_refusal).count() >= MAX_REFUSALS,
            Published::Gap(gap) => {
                let last = self
                    .items
                    .iter()
                    .rev()
                    .find_map(|own| topic_of(own, &gap.topic));
                matches!(last, Some(Published::Gap(_)))
            }
            _ => false,
        }
    }

    fn pop(&mut self) -> Option<Published> {
        let item = self.items.pop_front()?;
        self.size = self.size.saturating_sub(size(&item));
        Some(item)
    }

    /// Answers a question; gives the answer back if there is none.
    fn answer(&mut self, event: TopicEvent) -> Option<TopicEvent> {
        let (operation, topic) = match &event {
            TopicEvent::Subscribed(subscribed) => (TopicOperation::Subscribe, &subscribed.topic),
            TopicEvent::Members(members) => (TopicOperation::ListMembers, &members.topic),
            TopicEvent::Refused(refusal) => (refusal.operation, &refusal.topic),
            _ => return Some(event),
        };
        let is_meant = |asked: &&mut Asked| {
            asked.answer.is_none() && asked.operation == operation && asked.topic == *topic
        };
        let Some(asked) = self.questions.iter_mut().find(is_meant) else {
            return Some(event);
        };
        asked.answer = Some(event);
        if let Some(waker) = asked.waker.take() {
            waker.wake();
        }
        None
    }
}

/// The item, if it is of this topic.
fn topic_of<'a>(item: &'a Published, topic: &str) -> Option<&'a Published> {
    let own = match item {
        Published::Message(delivery) => &delivery.topic,
        Published::Gap(gap) => &gap.topic,
        Published::Joined(change) | Published::Left(change) => &change.topic,
        Published::Refused(refusal) => &refusal.topic,
    };
    (own == topic).then_some(item)
}

fn size(item: &Published) -> usize {
    let own = match item {
        Published::Message(delivery) => delivery.message.as_bytes().len(),
        Published::Joined(change) | Published::Left(change) => change.member.len(),
        Published::Gap(_) | Published::Refused(_) => 0,
    };
    own.saturating_add(ITEM)
}

impl State {
    /// Gives a publication to whom the subscription says. Returns the number of the form that the host sends, if it may
    /// send one and the connection need not know when it has.
    fn deliver(&mut self, now: Instant, broadcast: &Broadcast, may_share: bool) -> Option<u32> {
        let receiver = self.topics.receiver(&broadcast.delivery().topic)?;
        if receiver == Receiver::App {
            self.on_published(Published::Message(broadcast.delivery().clone()));
            return None;
        }
        let with_position = receiver == Receiver::PeerWithPosition;
        let message = broadcast.message(with_position);
        let size = message
            .message()
            .as_bytes()
            .len()
            .saturating_add(MAX_HEADER);
        if may_share && !self.asks_after(size) {
            let form = broadcast.send_on(&mut self.connection, now, with_position);
            if form.is_some() {
                self.unsent = self.unsent.saturating_add(size as u64);
                return form;
            }
        }
        if self.connection.is_sending_message() {
            self.hold(message.clone());
        } else {
            // Fails if the connection is not open: nothing more is sent then.
            let _ = self.connection.send_prepared(message);
        }
        None
    }

    /// Keeps a publication until the message that is being sent has ended.
    fn hold(&mut self, message: Prepared) {
        let news = self.news.inner();
        let size = message.message().as_bytes().len();
        let grown = news.held_size.saturating_add(size);
        if !news.held.is_empty() && grown > MAX_WAITING {
            return self.close_slow();
        }
        news.held_size = grown;
        news.held.push(message);
    }

    /// Sends the publications that have waited for the end of a message.
    pub(super) fn send_held(&mut self) {
        let Some(news) = &mut self.news.0 else { return };
        news.held_size = 0;
        for message in mem::take(&mut news.held) {
            let _ = self.connection.send_prepared(&message);
        }
    }

    /// The peer, or the app, has not kept up.
    fn close_slow(&mut self) {
        let code = CloseCode::TRY_AGAIN_LATER;
        let closed = self
            .connection
            .close_by(Initiator::Protocol, code, "too slow");
        if closed.is_ok() {
            self.news.inner().held = Vec::new();
        }
    }

    fn on_published(&mut self, item: Published) {
        if !self.news.inner().push(item) {
            self.close_slow();
        }
    }

    fn on_topic_event(&mut self, event: TopicEvent) {
        if let TopicEvent::Refused(refusal) = &event
            && refusal.operation == TopicOperation::Subscribe
        {
            self.topics.forget(&refusal.topic);
        }
        let concerns = |topics: &OwnTopics, topic: &str| topics.receiver(topic).is_some();
        let item = match self.news.inner().answer(event) {
            Some(TopicEvent::TooSlow) => return self.close_slow(),
            Some(TopicEvent::Gap(gap)) if concerns(&self.topics, &gap.topic) => Published::Gap(gap),
            Some(TopicEvent::Joined(change)) if concerns(&self.topics, &change.topic) => {
                Published::Joined(change)
            }
            Some(TopicEvent::Left(change)) if concerns(&self.topics, &change.topic) => {
                Published::Left(change)
            }
            Some(TopicEvent::Refused(refusal)) => Published::Refused(refusal),
            _ => return,
        };
        self.on_published(item);
    }
}

impl Shared {
    pub(super) fn deliver(
        &self,
        now: Instant,
        broadcast: &Broadcast,
        may_share: bool,
    ) -> Option<u32> {
        self.state.borrow_mut().deliver(now, broadcast, may_share)
    }

    pub(super) fn on_topic_event(&self, event: TopicEvent) {
        self.state.borrow_mut().on_topic_event(event);
    }

    /// Wants something of topics, and has the host called for it.
    pub(in crate::web_socket) fn want(
        &self,
        act: impl FnOnce(&mut OwnTopics) -> Result<(), TopicError>,
    ) -> Result<(), Error> {
        act(&mut self.state.borrow_mut().topics)?;
        self.call();
        Ok(())
    }

    pub(in crate::web_socket) fn poll_published(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Published>, Error>> {
        let mut state = self.state.borrow_mut();
        let news = state.news.inner();
        if let Some(item) = news.pop() {
            return Poll::Ready(Ok(Some(item)));
        }
        register(&mut news.wakers, context.waker());
        match &state.closed {
            Some(Closed::Handshake(_)) => Poll::Ready(Ok(None)),
            Some(closed) => Poll::Ready(Err(Error::Closed(closed.clone()))),
            None => Poll::Pending,
        }
    }
}

/// The future of an answer from the host.
pub(in crate::web_socket) struct Question {
    shared: Rc<Shared>,
    number: u64,
}

impl Question {
    pub(in crate::web_socket) fn new(
        shared: &Rc<Shared>,
        operation: TopicOperation,
        topic: String,
    ) -> Self {
        let mut state = shared.state.borrow_mut();
        let news = state.news.inner();
        news.last_question = news.last_question.wrapping_add(1);
        let number = news.last_question;
        news.questions.push(Asked {
            number,
            operation,
            topic,
            waker: None,
            answer: None,
        });
        Self {
            shared: Rc::clone(shared),
            number,
        }
    }
}

impl Future for Question {
    type Output = Result<TopicEvent, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state.borrow_mut();
        let closed = state.closed.clone();
        let mut questions = state.news.inner().questions.iter_mut();
        let Some(asked) = questions.find(|asked| asked.number == self.number) else {
            return Poll::Pending;
        };
        match (asked.answer.take(), closed) {
            (Some(answer), _) => Poll::Ready(Ok(answer)),
            (None, Some(closed)) => Poll::Ready(Err(Error::Closed(closed))),
            (None, None) => {
                asked.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut state = self.shared.state.borrow_mut();
        let questions = &mut state.news.inner().questions;
        questions.retain(|asked| asked.number != self.number);
    }
}
