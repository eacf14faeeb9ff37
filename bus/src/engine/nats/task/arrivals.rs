//! What comes from the server, on its way to the bus.

use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode};

use super::Task;
use super::acks::{Answer, Awaited};
use super::jobs::{Job, Outcome};
use crate::engine::nats::names::{Subject, last_token, parse_runner, parse_topic_subject};
use crate::engine::nats::presence::leases::Suspect;
use crate::engine::nats::store::{Bucket, is_removal, refused, stored};
use crate::engine::nats::wire::{place, received};
use crate::engine::{EngineError, Incoming, MemberKey, Received, Response};
use crate::position::Position;
use crate::topic::Topic;

impl Task {
    /// Takes an answer of a stream, or the confirmation of all that came before.
    ///
    /// # Errors
    ///
    /// If the connection is of no use any more.
    pub(super) async fn answer(&mut self, message: Message) -> Result<(), EngineError> {
        match self.acks.answer(&message.subject) {
            Answer::Confirmed(confirmed) => {
                for incoming in confirmed {
                    self.tell(incoming).await?;
                }
                Ok(())
            }
            Answer::Stored(awaited) => self.stored(awaited, &message).await,
            Answer::Stray => Ok(()),
        }
    }

    async fn stored(&mut self, awaited: Awaited, message: &Message) -> Result<(), EngineError> {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            let text = "a stream of the NATS server is gone, or its JetStream is off";
            return Err(EngineError(text.to_owned()));
        }
        let offset = match stored(&message.payload)? {
            Ok(ack) => ack.sequence,
            Err(error) => return self.respond(awaited.ticket(), Err(refused(&error))).await,
        };
        let response = match &awaited {
            Awaited::Publication(_) => Response::Published(self.position(offset)),
            Awaited::Done(_) => Response::Done,
            Awaited::Leave(_) => {
                self.forget_member(offset).await?;
                Response::Done
            }
            Awaited::Renew(_) => {
                self.renewed = Instant::now();
                Response::Done
            }
        };
        self.respond(awaited.ticket(), Ok(response)).await
    }

    fn position(&self, offset: u64) -> Option<Position> {
        let epoch = self.streams.as_ref()?.epoch;
        Some(Position { epoch, offset })
    }

    /// Every subscriber has been sent the removal; it need not be stored.
    async fn forget_member(&self, sequence: u64) -> Result<(), EngineError> {
        match &self.streams {
            Some(streams) => streams.forget(Bucket::Members, sequence).await,
            None => Ok(()),
        }
    }

    /// Takes what is sent on a topic that is subscribed to.
    ///
    /// # Errors
    ///
    /// If the engine is dropped.
    pub(super) async fn hear(&mut self, topic: Topic, message: Message) -> Result<(), EngineError> {
        let incoming = match parse_topic_subject(&message.subject) {
            Some(Subject::Message) => Incoming::Published(topic, self.publication(message)),
            Some(Subject::Member(key)) => member(topic, key, message),
            None => return Ok(()),
        };
        self.tell(incoming).await
    }

    fn publication(&self, message: Message) -> Received {
        let headers = message.headers.as_ref();
        let place = self
            .streams
            .as_ref()
            .and_then(|streams| place(headers, streams.epoch));
        let (position, previous) = place.unzip();
        Received {
            position,
            previous,
            ..received(message.payload, headers)
        }
    }

    pub(super) fn hear_kept(&mut self, change: &Message) {
        let headers = change.headers.as_ref();
        self.kept
            .hear(&change.subject, headers, &change.payload, Duration::ZERO);
    }

    pub(super) fn hear_lease(&mut self, change: &Message) {
        let headers = change.headers.as_ref();
        let sequence = place(headers, 0).map(|(position, _)| position.offset);
        let runner = parse_runner(last_token(&change.subject));
        if let Some((runner, sequence)) = runner.zip(sequence) {
            self.leases
                .hear(runner, sequence, &change.payload, Duration::ZERO);
        }
    }

    /// Takes what became of a job.
    ///
    /// # Errors
    ///
    /// If the engine is dropped.
    pub(super) async fn finish(&mut self, outcome: Outcome) -> Result<(), EngineError> {
        match outcome {
            Outcome::Answer(ticket, response) => self.respond(ticket, response).await,
            Outcome::Members(ticket, response, unknown) => {
                for runner in unknown {
                    let suspect = Suspect {
                        runner,
                        heard: None,
                    };
                    self.jobs.add(self.acks.mark(), Job::Bury(suspect));
                }
                self.respond(ticket, response).await
            }
            Outcome::Keep(ticket, topic, written) => {
                if written.is_err() {
                    self.kept.remove(&topic);
                }
                match ticket {
                    Some(ticket) => self.respond(ticket, written.map(|()| Response::Done)).await,
                    None => Ok(()),
                }
            }
            Outcome::Buried(runner, Ok(Some(lease))) => {
                self.leases
                    .hear(runner, lease.sequence, &lease.value, Duration::ZERO);
                Ok(())
            }
            Outcome::Buried(_, Ok(None)) => Ok(()),
            Outcome::Buried(_, Err(error)) => Err(error),
        }
    }
}

fn member(topic: Topic, key: MemberKey, message: Message) -> Incoming {
    let info = bytes::Bytes::copy_from_slice(&message.payload);
    if is_removal(message.headers.as_ref()) {
        Incoming::Left(topic, key, info)
    } else {
        Incoming::Joined(topic, key, info)
    }
}
