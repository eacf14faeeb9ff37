//! Topics over Redis or Valkey: pub/sub for what is published, streams for history, leases for members.
//!
//! `docs/design/engines.md` has the layout of keys, channels and payloads.

mod commands;
mod connect;
mod envelope;
mod health;
mod layout;
mod replies;
#[cfg(test)]
mod tests;
mod transport;
mod tuning;
mod wire;

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use redis::{RedisError, RedisResult, Value};

use self::commands::{Commands, Order};
use self::envelope::Envelope;
use self::health::{Alarm, Health};
use self::replies::Expected;
pub(crate) use self::tuning::Tuning;
use self::wire::{Arrival, Wire};
use crate::engine::{Connector, Engine, EngineError, Incoming, Request, Ticket};
use crate::settings::Settings;

/// A connection to Redis.
///
/// All goes over one connection (RESP3), so that Redis itself keeps what concerns a topic in order.
pub(crate) struct Redis {
    wire: Wire<Tag>,
    commands: Commands,
    health: Health,
    /// How many messages on channels were not understood.
    misunderstood: u64,
    failure: Option<EngineError>,
}

/// Who asked.
#[derive(Clone, Copy, Debug, Default)]
enum Tag {
    /// The bus.
    Bus(Ticket, Expected),
    /// The check whether Redis is there, or the connecting.
    #[default]
    Own,
    /// The removal of members whose runner is gone, which is done in parts.
    Sweep,
}

/// Makes connections to one Redis.
#[derive(Clone, Debug)]
pub(crate) struct RedisConnector {
    pub(crate) settings: Settings,
    pub(crate) tuning: Tuning,
}

impl RedisConnector {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            tuning: Tuning::default(),
        }
    }
}

impl Connector for RedisConnector {
    type Engine = Redis;

    async fn connect(&self, runner: u64) -> Result<Redis, EngineError> {
        let (wire, commands) = connect::connect(&self.settings, &self.tuning, runner).await?;
        Ok(Redis {
            wire,
            commands,
            health: Health::new(self.tuning.idle, self.tuning.answer_timeout),
            misunderstood: 0,
            failure: None,
        })
    }
}

impl Redis {
    /// How many messages on channels were not understood, and left out.
    #[cfg(test)]
    pub(crate) fn misunderstood(&self) -> u64 {
        self.misunderstood
    }

    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Result<Incoming, EngineError>> {
        loop {
            if let Some(error) = &self.failure {
                return Poll::Ready(Err(error.clone()));
            }
            match self.wire.poll_next(context) {
                Poll::Ready(Some(arrival)) => {
                    self.health.heard();
                    if let Some(incoming) = self.receive(arrival) {
                        return Poll::Ready(Ok(incoming));
                    }
                }
                Poll::Ready(None) => self.fail("Redis has closed the connection"),
                Poll::Pending => match self.health.poll(context) {
                    Poll::Ready(Alarm::Ask) => {
                        self.wire.send(Tag::Own, Order::Run(redis::cmd("PING")));
                    }
                    Poll::Ready(Alarm::GiveUp) => self.fail("Redis does not answer any more"),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    fn receive(&mut self, arrival: Arrival<Tag>) -> Option<Incoming> {
        match arrival {
            Arrival::Reply(tag, result) => self.reply(tag, result),
            Arrival::Message { channel, bytes } => {
                let incoming = self.message(&channel, bytes);
                if incoming.is_none() {
                    self.misunderstand(&channel);
                }
                incoming
            }
        }
    }

    fn reply(&mut self, tag: Tag, result: RedisResult<Value>) -> Option<Incoming> {
        if let Some(reason) = result.as_ref().err().and_then(end) {
            self.fail(&reason);
            return None;
        }
        let value = result.map_err(|error| refused(&error));
        match tag {
            Tag::Own => None,
            Tag::Sweep => {
                self.sweep_on(&value);
                None
            }
            Tag::Bus(ticket, expected) => {
                if let Expected::Sweep = expected {
                    self.sweep_on(&value);
                }
                let response = value.and_then(|value| expected.read(value));
                Some(Incoming::Done(ticket, response))
            }
        }
    }

    /// A renewal removes some members of runners that are gone, and says whether there may be more.
    fn sweep_on(&mut self, value: &Result<Value, EngineError>) {
        if *value == Ok(Value::Int(1)) {
            let order = Order::Run(self.commands.lease("renew"));
            self.wire.send(Tag::Sweep, order);
        }
    }

    fn message(&self, channel: &[u8], bytes: Vec<u8>) -> Option<Incoming> {
        let topic = self.commands.layout.topic(channel)?;
        Some(match Envelope::parse(Bytes::from(bytes))? {
            Envelope::Published(received) => Incoming::Published(topic, received),
            Envelope::Joined(member, info) => Incoming::Joined(topic, member, info),
            Envelope::Left(member, info) => Incoming::Left(topic, member, info),
        })
    }

    /// Counts, and logs the 1st, 2nd, 4th, ...
    fn misunderstand(&mut self, channel: &[u8]) {
        self.misunderstood = self.misunderstood.saturating_add(1);
        if self.misunderstood.is_power_of_two() {
            tracing::warn!(
                channel = %String::from_utf8_lossy(channel),
                count = self.misunderstood,
                "ignored a message in Redis that is not in the documented form: who publishes it?"
            );
        }
    }

    fn fail(&mut self, reason: &str) {
        self.failure = Some(EngineError(reason.to_owned()));
    }
}

impl Engine for Redis {
    fn begin(&mut self, ticket: Ticket, request: Request) {
        let tag = Tag::Bus(ticket, Expected::of(&request));
        self.wire.send(tag, self.commands.order(&request));
    }

    fn next(&mut self) -> impl Future<Output = Result<Incoming, EngineError>> {
        poll_fn(|context| self.poll_incoming(context))
    }
}

/// Why a new connection must be made: this one is broken, has lost what it was prepared with, or leads to a server that
/// does not serve now.
fn end(error: &RedisError) -> Option<String> {
    let reason = match error.code() {
        None => return Some(format!("the connection to Redis is broken: {error}")),
        Some("NOSCRIPT") => "Redis has lost its scripts",
        Some("LOADING") => "Redis is reading its data",
        Some("READONLY" | "MASTERDOWN") => {
            "this Redis is a replica now: is the URL that of the primary?"
        }
        Some("NOAUTH") => "Redis asks for a password",
        Some(_) => return None,
    };
    Some(reason.to_owned())
}

fn refused(error: &RedisError) -> EngineError {
    let advice = match error.code() {
        Some("LEASE") => {
            ": the runner stood still for too long, or Redis has lost its data; members are entered again"
        }
        Some("OOM") => ": give Redis more memory (maxmemory), or topics less history",
        Some("NOPERM") => ": see docs/design/engines.md for the commands that the user needs",
        Some("WRONGTYPE") => ": something else uses keys with this prefix; choose another one",
        _ => "",
    };
    EngineError(format!("Redis refuses: {error}{advice}"))
}
