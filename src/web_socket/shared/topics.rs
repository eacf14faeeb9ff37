//! Topics of a connection whose app is a function: what it has been told, and what waits until it can be sent.

use alloc::rc::Rc;
use alloc::string::String;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::Shared;
use super::news::{Asked, MAX_WAITING};
use super::state::State;
use crate::protocol::{CloseCode, Closed, Initiator, Instant, Prepared};
use crate::session::register;
use crate::topics::{Broadcast, OwnTopics, Receiver, TopicError, TopicEvent, TopicOperation};
use crate::web_socket::{Error, Published};

/// The longest header of a server's frame.
const MAX_HEADER: usize = 10;

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
        for message in self.news.take_held() {
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
            drop(self.news.take_held());
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
    pub(crate) fn want(
        &self,
        act: impl FnOnce(&mut OwnTopics) -> Result<(), TopicError>,
    ) -> Result<(), Error> {
        act(&mut self.state.borrow_mut().topics)?;
        self.call();
        Ok(())
    }

    pub(crate) fn poll_published(
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
pub(crate) struct Question {
    shared: Rc<Shared>,
    number: u64,
}

impl Question {
    pub(crate) fn new(shared: &Rc<Shared>, operation: TopicOperation, topic: String) -> Self {
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
