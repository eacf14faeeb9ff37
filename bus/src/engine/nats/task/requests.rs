//! What the bus asks, on its way to the server.

use async_nats::HeaderMap;
use bytes::Bytes;

use super::acks::Awaited;
use super::jobs::Job;
use super::{Task, subscribe};
use crate::engine::nats::history::read::Query;
use crate::engine::nats::presence::leases;
use crate::engine::nats::store::{NO_JETSTREAM, failed, removal};
use crate::engine::nats::wire::{add_message_id, headers, headers_size};
use crate::engine::{EngineError, History, Incoming, MemberKey, Request, Response, Sent, Ticket};
use crate::message::{Keep, Start};
use crate::topic::Topic;

impl Task {
    /// Begins a request.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub(super) async fn begin(
        &mut self,
        ticket: Ticket,
        request: Request,
    ) -> Result<(), EngineError> {
        match request {
            Request::Subscribe(topic) => self.subscribe(ticket, topic).await,
            Request::Unsubscribe(topic) => {
                self.feeds.remove(&topic);
                self.acks.await_confirmation(ticket, Response::Done);
                Ok(())
            }
            Request::Publish(sent) => self.publish(ticket, sent).await,
            Request::History(topic, start) if self.streams.is_none() => {
                let is_complete = !matches!(start, Start::After(_));
                let _ = topic;
                self.respond(
                    ticket,
                    Ok(Response::History(History {
                        is_complete,
                        ..History::default()
                    })),
                )
                .await
            }
            _ if self.streams.is_none() => {
                self.respond(ticket, Err(EngineError(NO_JETSTREAM.to_owned())))
                    .await
            }
            Request::Keep(topic, keep) => self.keep(ticket, topic, keep).await,
            Request::History(topic, start) => self.read_history(ticket, topic, start),
            Request::Members(topic, most) => {
                self.jobs
                    .add(self.acks.mark(), Job::Members(ticket, topic, most));
                Ok(())
            }
            Request::Enter(topic, key, info) => self.enter(ticket, topic, key, info).await,
            Request::Leave(topic, key) => self.leave(ticket, topic, key).await,
            Request::Renew => self.renew(ticket).await,
        }
    }

    pub(super) async fn respond(
        &self,
        ticket: Ticket,
        response: Result<Response, EngineError>,
    ) -> Result<(), EngineError> {
        self.tell(Incoming::Done(ticket, response)).await
    }

    async fn subscribe(&mut self, ticket: Ticket, topic: Topic) -> Result<(), EngineError> {
        let subscriber = subscribe(&self.client, self.names.topic(&topic)).await?;
        self.feeds.insert(topic, subscriber);
        self.acks.await_confirmation(ticket, Response::Done);
        Ok(())
    }

    async fn publish(&mut self, ticket: Ticket, sent: Sent) -> Result<(), EngineError> {
        let Sent {
            topic,
            message,
            origin,
        } = sent;
        let mut headers = headers(message.kind, origin);
        let is_kept = self.kept.get(&topic).is_some();
        if is_kept {
            add_message_id(&mut headers, origin);
        }
        let most = self.client.max_payload();
        if message.bytes.len().saturating_add(headers_size(&headers)) > most {
            return self
                .respond(ticket, Err(too_large(message.bytes.len(), most)))
                .await;
        }
        if is_kept {
            let subject = self.names.keep(&topic);
            self.renew_kept(topic);
            return self
                .store(
                    Awaited::Publication(ticket),
                    subject,
                    headers,
                    message.bytes,
                )
                .await;
        }
        self.acks
            .await_confirmation(ticket, Response::Published(None));
        let subject = self.names.message(&topic);
        let sent = self
            .client
            .publish_with_headers(subject, headers, message.bytes)
            .await;
        sent.map_err(|error| failed(&error))
    }

    /// Sends a message to a stream, which answers.
    async fn store(
        &mut self,
        awaited: Awaited,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), EngineError> {
        let reply = self.acks.await_stream(awaited);
        let sent = self
            .client
            .publish_with_reply_and_headers(subject, reply, headers, payload)
            .await;
        sent.map_err(|error| failed(&error))
    }

    async fn keep(&mut self, ticket: Ticket, topic: Topic, keep: Keep) -> Result<(), EngineError> {
        match self.kept.want(&topic, keep) {
            Some(keep) => {
                self.jobs
                    .add(self.acks.mark(), Job::Keep(Some(ticket), topic, keep));
                Ok(())
            }
            None => self.respond(ticket, Ok(Response::Done)).await,
        }
    }

    /// A topic that is used goes on having history.
    pub(super) fn renew_kept(&mut self, topic: Topic) {
        if let Some(keep) = self.kept.renew(&topic) {
            self.jobs
                .add(self.acks.mark(), Job::Keep(None, topic, keep));
        }
    }

    fn read_history(
        &mut self,
        ticket: Ticket,
        topic: Topic,
        start: Start,
    ) -> Result<(), EngineError> {
        let keep = self.kept.get(&topic);
        let query = Query { topic, keep, start };
        self.jobs.add(self.acks.mark(), Job::History(ticket, query));
        Ok(())
    }

    async fn enter(
        &mut self,
        ticket: Ticket,
        topic: Topic,
        key: MemberKey,
        info: Bytes,
    ) -> Result<(), EngineError> {
        let subject = self.names.member_key(&topic, key);
        self.members.insert((topic, key), info.clone());
        self.store(Awaited::Done(ticket), subject, HeaderMap::new(), info)
            .await
    }

    async fn leave(
        &mut self,
        ticket: Ticket,
        topic: Topic,
        key: MemberKey,
    ) -> Result<(), EngineError> {
        let subject = self.names.member_key(&topic, key);
        let info = self.members.remove(&(topic, key)).unwrap_or_default();
        self.store(Awaited::Leave(ticket), subject, removal(), info)
            .await
    }

    async fn renew(&mut self, ticket: Ticket) -> Result<(), EngineError> {
        if self.renewed.elapsed() > self.tuning.lease && !self.members.is_empty() {
            // Other runners have told everybody that our members are gone. With a new connection, they enter again.
            return Err(EngineError(
                "this runner was held up for longer than its lease lasts".to_owned(),
            ));
        }
        self.kept.expire();
        for topic in self.feeds.topics().cloned().collect::<Vec<_>>() {
            self.renew_kept(topic);
        }
        let subject = self.names.runner_key(self.runner);
        let lease = leases::format(self.tuning.lease);
        self.store(
            Awaited::Renew(ticket),
            subject,
            HeaderMap::new(),
            lease.into(),
        )
        .await
    }
}

fn too_large(size: usize, most: usize) -> EngineError {
    EngineError(format!(
        "a message of {size} bytes is too large for the NATS server, which takes {most} with headers: raise `max_payload` \
         in its configuration"
    ))
}
