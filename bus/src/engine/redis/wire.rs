//! One connection of the client library, driven from here: what is sent goes out in the order in which it was given, and
//! is read only when somebody asks for more, so that a slow reader slows Redis down and not memory.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use redis::aio::{MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisConnectionInfo, RedisResult, Value};
use tokio::task::unconstrained;

use crate::engine::redis::commands::Order;
use crate::engine::redis::transport::Stream;

/// The most requests that are under way at once. The others wait here.
const MAX_IN_FLIGHT: usize = 1024;

/// How much may be written at once, in bytes: less would be a call into the kernel for every few commands.
const WRITE_AT_ONCE: usize = 64 * 1024;

type Running = Pin<Box<dyn Future<Output = RedisResult<Value>> + Send>>;

/// What comes from Redis.
pub(super) enum Arrival<Tag> {
    /// The reply to what was sent with this tag. An error that is not of the server means that the connection is gone.
    Reply(Tag, RedisResult<Value>),
    /// What was published on a channel.
    Message { channel: Vec<u8>, bytes: Vec<u8> },
}

/// One connection. `Tag` is what its user calls a request.
pub(super) struct Wire<Tag> {
    connection: MultiplexedConnection,
    /// Writes and reads; `None` once the connection is gone.
    driver: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pushes: Arc<Mutex<VecDeque<PushInfo>>>,
    waiting: VecDeque<(Tag, Order)>,
    in_flight: VecDeque<InFlight<Tag>>,
}

/// A request that has been handed over.
struct InFlight<Tag> {
    tag: Tag,
    turn: Turn,
    reply: Reply,
}

/// When a reply has its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Before what was published.
    AtOnce,
    /// At its place among what was published: a subscription begins or ends there.
    InStream,
}

/// A reply that is waited for.
enum Reply {
    Running(Running),
    Here(RedisResult<Value>),
}

impl<Tag> Wire<Tag> {
    /// Says hello on a socket: protocol version 3, user and password, database.
    ///
    /// # Errors
    ///
    /// If Redis refuses any of that.
    pub(super) async fn open(
        stream: Box<dyn Stream>,
        info: &RedisConnectionInfo,
    ) -> RedisResult<Self> {
        let pushes = Arc::new(Mutex::new(VecDeque::new()));
        let queue = Arc::clone(&pushes);
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            // With room for all that are in flight, handing over another one never waits, and keeps its place.
            .set_pipeline_buffer_size(MAX_IN_FLIGHT)
            .set_write_backpressure_boundary(WRITE_AT_ONCE)
            .set_push_sender(move |push| {
                locked(&queue).push_back(push);
                Ok::<_, SendError>(())
            });
        let (connection, driver) =
            MultiplexedConnection::new_with_config(info, stream, config).await?;
        Ok(Self {
            connection,
            driver: Some(Box::pin(driver)),
            pushes,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
        })
    }

    /// Sends in the order of the calls, when [`poll_next`](Self::poll_next) is called.
    pub(super) fn send(&mut self, tag: Tag, order: Order) {
        self.waiting.push_back((tag, order));
    }

    /// What comes next; `None` once the connection is gone.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arrival<Tag>>> {
        loop {
            if let Some(arrival) = self.arrival(context) {
                return Poll::Ready(Some(arrival));
            }
            self.start(context);
            let Some(driver) = &mut self.driver else {
                return Poll::Ready(None);
            };
            if driver.as_mut().poll(context).is_ready() {
                self.driver = None;
            } else {
                return match self.arrival(context) {
                    Some(arrival) => Poll::Ready(Some(arrival)),
                    None => Poll::Pending,
                };
            }
        }
    }

    /// What has been read. Replies come first, also before what was published earlier: whoever has asked where a topic
    /// stands, or who is there, is told afterwards of changes that the reply contains, never before of those that
    /// it does not. Only the reply to a subscription keeps its place among what is published.
    fn arrival(&mut self, context: &mut Context<'_>) -> Option<Arrival<Tag>> {
        let reply = self.next_reply(context);
        if reply == Some(Turn::AtOnce) {
            return self.take_reply();
        }
        while let Some(push) = self.next_push() {
            match push.kind {
                PushKind::Message => {
                    if let Some(message) = message(push) {
                        return Some(message);
                    }
                }
                PushKind::Subscribe | PushKind::Unsubscribe if reply.is_some() => break,
                _ => {}
            }
        }
        reply.and_then(|_| self.take_reply())
    }

    /// Whether the reply to the oldest request is here, and when it has its turn. Redis answers in order.
    fn next_reply(&mut self, context: &mut Context<'_>) -> Option<Turn> {
        let first = self.in_flight.front_mut()?;
        if let Reply::Running(running) = &mut first.reply {
            match poll_now(running, context) {
                Poll::Ready(result) => first.reply = Reply::Here(result),
                Poll::Pending => return None,
            }
        }
        let is_error = matches!(first.reply, Reply::Here(Err(_)));
        Some(if is_error { Turn::AtOnce } else { first.turn })
    }

    fn take_reply(&mut self) -> Option<Arrival<Tag>> {
        let first = self.in_flight.pop_front()?;
        match first.reply {
            Reply::Here(result) => Some(Arrival::Reply(first.tag, result)),
            Reply::Running(_) => None,
        }
    }

    fn next_push(&self) -> Option<PushInfo> {
        locked(&self.pushes).pop_front()
    }

    /// Hands over what is waiting.
    fn start(&mut self, context: &mut Context<'_>) {
        while self.in_flight.len() < MAX_IN_FLIGHT
            && let Some((tag, order)) = self.waiting.pop_front()
        {
            let turn = match order {
                Order::Subscribe(_) | Order::Unsubscribe(_) => Turn::InStream,
                Order::Run(_) => Turn::AtOnce,
            };
            let mut running = run(self.connection.clone(), order);
            let reply = match poll_now(&mut running, context) {
                Poll::Ready(result) => Reply::Here(result),
                Poll::Pending => Reply::Running(running),
            };
            self.in_flight.push_back(InFlight { tag, turn, reply });
        }
    }
}

/// Polls without regard for how much this task has done already: a reply that is here is given first, and a request that
/// is started keeps its place.
fn poll_now(running: &mut Running, context: &mut Context<'_>) -> Poll<RedisResult<Value>> {
    pin!(unconstrained(running.as_mut())).poll(context)
}

fn run(mut connection: MultiplexedConnection, order: Order) -> Running {
    Box::pin(async move {
        match order {
            Order::Subscribe(channel) => {
                connection.subscribe(channel).await?;
                Ok(Value::Okay)
            }
            Order::Unsubscribe(channel) => {
                connection.unsubscribe(channel).await?;
                Ok(Value::Okay)
            }
            Order::Run(command) => connection
                .send_packed_command(&command)
                .await?
                .extract_error(),
        }
    })
}

fn message<Tag>(push: PushInfo) -> Option<Arrival<Tag>> {
    if push.kind != PushKind::Message {
        return None;
    }
    match <[Value; 2]>::try_from(push.data).ok()? {
        [Value::BulkString(channel), Value::BulkString(bytes)] => {
            Some(Arrival::Message { channel, bytes })
        }
        _ => None,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
