//! The conversation with a server. One loop, as in [`session`](crate::session): something happens, the
//! component is called, its effects and events are carried out. `wit/websocket-client.wit` says what may
//! happen.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::select;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};
use wasmtime::component::ResourceAny;

use super::ConnectError;
use crate::bindings::{
    Closed, Connecting, Effects, Event, Message, Next, Opened, Progress, Refused,
};
use crate::client::Client;
use crate::clock::Clock;
use crate::input::{self, Input};
use crate::options::Connect;
use crate::shutdown::{Signal, Signals};
use crate::socket::{Socket, Stream, Traffic};
use crate::transport::printable;

/// The most bytes that the component is given at once (`websocket-client.wit`, `receive`).
const READ_BUFFER: usize = 64 * 1024;
/// How much may be unsent while more is received. A server that has us answer pings and does not read
/// the answers has to wait then.
const MAX_UNSENT: usize = 16 << 20;
/// How long the server may go on after the end of stdin.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long it must say nothing to be taken as done.
const QUIET: Duration = Duration::from_millis(200);
/// The number of the ping before the end; the others count from 1.
const LAST_PING: u64 = 0;

/// RFC 6455 §7.4.1: "the purpose for which the connection was established has been fulfilled".
const NORMAL: u16 = 1000;
/// RFC 6455 §7.4.1: "an endpoint is 'going away'".
const GOING_AWAY: u16 = 1001;
/// RFC 6455 §7.4.1: what stands for a Close frame without a code.
const NO_STATUS: u16 = 1005;

/// A connection, and what is known of it.
pub(super) struct Conversation<'a> {
    options: &'a Connect,
    quiet: bool,
    client: Client,
    connection: ResourceAny,
    socket: Socket<Box<dyn Stream>>,
    clock: Clock,
    wake_at: Option<Instant>,
    state: State,
    next: Next,
    next_ping: Option<Instant>,
    /// Set at the end of stdin.
    finish: Option<Finish>,
    /// How many pings have been sent.
    pings: u64,
    /// How the connection came to its end.
    outcome: Option<Outcome>,
}

/// The time left for the server to answer what it was sent before the end of stdin.
#[derive(Clone, Copy)]
struct Finish {
    /// Whether it has answered the last ping, and so received all.
    answered: bool,
    /// When the connection is closed.
    at: Instant,
    /// When it is closed at the latest.
    latest: Instant,
}

impl Finish {
    fn begin() -> Self {
        let latest = Instant::now() + FINISH_TIMEOUT;
        Self {
            answered: false,
            at: latest,
            latest,
        }
    }

    /// The server has said something.
    fn put_off(&mut self) {
        if self.answered {
            self.at = self.latest.min(Instant::now() + QUIET);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    /// The closing handshake has begun.
    Closing,
}

enum Outcome {
    Refused(Refused),
    Closed(Closed),
    /// stdin cannot be sent.
    Input(String),
}

/// What a conversation waits for.
enum Happening {
    Traffic(io::Result<Traffic>),
    Wake,
    Ping,
    Finished,
    Input(Option<Input>),
    Signal(Signal),
}

impl<'a> Conversation<'a> {
    /// A conversation whose handshake has begun, and whose request is to be sent.
    pub(super) fn new(
        options: &'a Connect,
        quiet: bool,
        clock: Clock,
        client: Client,
        begun: Connecting,
        stream: Box<dyn Stream>,
    ) -> Self {
        let mut conversation = Self {
            options,
            quiet,
            client,
            connection: begun.connection,
            socket: Socket::new(stream, usize::MAX),
            clock,
            wake_at: None,
            state: State::Connecting,
            next: Next::Open,
            next_ping: None,
            finish: None,
            pings: 0,
            outcome: None,
        };
        conversation.carry_out(begun.effects);
        conversation
    }

    /// Goes on until the connection is closed.
    pub(super) async fn run(mut self) -> Result<(), ConnectError> {
        let conversed = self.converse().await;
        self.end(conversed).await
    }

    async fn converse(&mut self) -> Result<(), ConnectError> {
        let mut signals = Signals::catch()?;
        let mut stdin = input::read_stdin(self.options.binary)?;
        let mut buffer = vec![0; READ_BUFFER];
        let mut stdin_open = true;
        while self.next == Next::Open {
            let takes_input = stdin_open && self.state == State::Open && self.socket.unsent() == 0;
            let happening = self
                .happening(&mut signals, &mut stdin, takes_input, &mut buffer)
                .await;
            match happening {
                Happening::Traffic(traffic) => self.on_traffic(traffic, &buffer)?,
                Happening::Wake => {
                    self.wake_at = None;
                    let (now, unsent) = (self.clock.now(), self.socket.unsent());
                    let progress = self.client.wake(self.connection, now, unsent)?;
                    self.on_progress(progress)?;
                }
                Happening::Ping => self.ping()?,
                Happening::Finished => {
                    self.finish = None;
                    self.close(NORMAL)?;
                }
                Happening::Input(Some(Ok(message))) => self.send(&message)?,
                Happening::Input(Some(Err(error))) => {
                    stdin_open = false;
                    self.outcome = Some(Outcome::Input(error));
                    self.close(NORMAL)?;
                }
                Happening::Input(None) => {
                    stdin_open = false;
                    if !self.options.one_message {
                        self.finish()?;
                    }
                }
                Happening::Signal(signal) if self.state == State::Open => {
                    self.note(format_args!("{signal}: closing; again to exit at once"));
                    self.close(GOING_AWAY)?;
                }
                // It is closed; only the server has not closed the socket yet.
                Happening::Signal(_) if self.outcome.is_some() => self.next = Next::Abort,
                Happening::Signal(signal) => return Err(ConnectError::Interrupted(signal)),
            }
        }
        Ok(())
    }

    async fn happening(
        &mut self,
        signals: &mut Signals,
        stdin: &mut Receiver<Input>,
        takes_input: bool,
        buffer: &mut [u8],
    ) -> Happening {
        let never = Instant::now();
        let finish_at = self.finish.map(|finish| finish.at);
        let socket = &mut self.socket;
        select! {
            signal = signals.next() => Happening::Signal(signal),
            () = sleep_until(self.wake_at.unwrap_or(never)), if self.wake_at.is_some() => {
                Happening::Wake
            }
            () = sleep_until(self.next_ping.unwrap_or(never)), if self.next_ping.is_some() => {
                Happening::Ping
            }
            () = sleep_until(finish_at.unwrap_or(never)), if finish_at.is_some() => {
                Happening::Finished
            }
            traffic = poll_fn(|context| if socket.unsent() < MAX_UNSENT {
                socket.poll_exchange(context, buffer)
            } else {
                socket.poll_receive(context, buffer).map_ok(Traffic::Received)
            }) => Happening::Traffic(traffic),
            input = stdin.recv(), if takes_input => Happening::Input(input),
        }
    }

    fn on_traffic(
        &mut self,
        traffic: io::Result<Traffic>,
        buffer: &[u8],
    ) -> Result<(), ConnectError> {
        let now = self.clock.now();
        let progress = match traffic {
            Ok(Traffic::Sent) => return Ok(()),
            Ok(Traffic::Received(size)) if size > 0 => {
                let bytes = buffer.get(..size).unwrap_or_default();
                self.client.receive(self.connection, now, bytes)?
            }
            Ok(Traffic::Received(_)) => self.client.receive_eof(self.connection, now)?,
            // TLS without its own end: the component knows whether the connection was at its end.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.next = Next::Abort;
                self.client.receive_eof(self.connection, now)?
            }
            Err(_) if self.outcome.is_some() => {
                self.next = Next::Abort;
                return Ok(());
            }
            Err(error) => return Err(ConnectError::Broken(error)),
        };
        self.on_progress(progress)
    }

    fn on_progress(&mut self, progress: Progress) -> Result<(), ConnectError> {
        self.carry_out(progress.effects);
        for event in progress.events {
            self.on_event(event)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effects: Effects) {
        self.wake_at = effects.wake_at.and_then(|instant| self.clock.at(instant));
        if self.next == Next::Open {
            self.next = effects.next;
        }
        // A socket that takes nothing more can still be read: to what the server said last, or to the
        // failure itself.
        let _ = self.socket.send(&effects.output);
    }

    fn on_event(&mut self, event: Event) -> Result<(), ConnectError> {
        match event {
            Event::Opened(opened) => return self.on_opened(&opened),
            Event::Message(message) => return self.on_message(message),
            Event::Refused(refused) => self.outcome = Some(Outcome::Refused(refused)),
            Event::Closed(closed) => {
                self.state = State::Closing;
                self.next_ping = None;
                self.finish = None;
                self.outcome.get_or_insert(Outcome::Closed(closed));
            }
            Event::Ping(_) => {}
            Event::Pong(payload) => self.on_pong(&payload),
        }
        Ok(())
    }

    fn on_opened(&mut self, opened: &Opened) -> Result<(), ConnectError> {
        self.state = State::Open;
        let subprotocol = opened.subprotocol.as_deref().map(printable);
        let subprotocol = subprotocol.map(|name| format!(", subprotocol {name}"));
        let compressed = if opened.compress { ", compressed" } else { "" };
        self.note(format_args!(
            "connected to {}{}{compressed}",
            self.options.url,
            subprotocol.unwrap_or_default()
        ));
        match self.options.ping {
            Some(_) if self.next == Next::Open => self.ping(),
            _ => Ok(()),
        }
    }

    fn on_message(&mut self, message: Message) -> Result<(), ConnectError> {
        let done = self.options.one_message && self.state == State::Closing;
        if done || matches!(self.outcome, Some(Outcome::Input(_))) {
            return Ok(());
        }
        if let Some(finish) = &mut self.finish {
            finish.put_off();
        }
        let printed = match message {
            Message::Text(text) if self.options.binary => print(text.as_bytes()),
            // A server must not get to write escape sequences to a terminal; a pipe has it all.
            Message::Text(text) if io::stdout().is_terminal() => {
                print(format!("{}\n", printable(&text)).as_bytes())
            }
            Message::Text(text) => print(format!("{text}\n").as_bytes()),
            Message::Binary(bytes) if self.options.binary => print(&bytes),
            Message::Binary(bytes) => {
                let size = bytes.len();
                self.note(format_args!(
                    "a binary message of {size} bytes; --binary prints those"
                ));
                Ok(())
            }
        };
        match printed {
            Ok(()) if !self.options.one_message => Ok(()),
            // With a broken pipe whoever read stdout has had enough, as in `| head`.
            Ok(()) => self.close(NORMAL),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.close(NORMAL),
            Err(error) => Err(ConnectError::Stdout(error)),
        }
    }

    /// Pings the server, for the time it takes, and sets the next ping.
    fn ping(&mut self) -> Result<(), ConnectError> {
        let every = self.options.ping.flatten().map(Duration::from_secs);
        self.next_ping = every.and_then(|every| Instant::now().checked_add(every));
        self.pings = self.pings.wrapping_add(1);
        self.send_ping(self.pings)
    }

    /// stdin is at its end. The connection is closed when the server has answered a ping, and so
    /// received all, and has then been silent for a while: some servers answer pings before messages
    /// that came first. After our Close frame it could not answer any more (RFC 6455 §5.5.1).
    fn finish(&mut self) -> Result<(), ConnectError> {
        self.finish = Some(Finish::begin());
        self.send_ping(LAST_PING)
    }

    /// A ping carries its number and when it was sent.
    fn send_ping(&mut self, number: u64) -> Result<(), ConnectError> {
        let now = self.clock.now();
        let payload = [number.to_be_bytes(), now.to_be_bytes()].concat();
        let effects = self.client.ping(self.connection, now, &payload)?;
        self.act(effects);
        Ok(())
    }

    fn on_pong(&mut self, payload: &[u8]) {
        let Some((number, sent)) = payload.split_first_chunk() else {
            return;
        };
        let sent = sent.first_chunk().copied().unwrap_or_default();
        let took = self.clock.now().saturating_sub(u64::from_be_bytes(sent));
        match u64::from_be_bytes(*number) {
            LAST_PING => {
                if let Some(finish) = &mut self.finish {
                    finish.answered = true;
                    finish.put_off();
                }
            }
            number => {
                let milliseconds = Duration::from_nanos(took).as_secs_f64() * 1000.0;
                self.note(format_args!("pong {number} after {milliseconds:.3} ms"));
            }
        }
    }

    fn send(&mut self, message: &Message) -> Result<(), ConnectError> {
        let now = self.clock.now();
        let effects = self.client.send(self.connection, now, message)?;
        self.act(effects);
        Ok(())
    }

    /// Begins the closing handshake, unless it has begun.
    fn close(&mut self, code: u16) -> Result<(), ConnectError> {
        if self.state != State::Open || self.next != Next::Open {
            return Ok(());
        }
        self.state = State::Closing;
        self.next_ping = None;
        self.finish = None;
        let now = self.clock.now();
        let effects = self.client.close(self.connection, now, code, "")?;
        self.act(effects);
        Ok(())
    }

    /// Carries out what came of sending. What cannot be sent any more is not: the connection is at its
    /// end, and the next call says how.
    fn act(&mut self, effects: Result<Effects, String>) {
        match effects {
            Ok(effects) => self.carry_out(effects),
            Err(reason) => self.note(format_args!("not sent: {reason}")),
        }
    }

    /// Drops the connection, and closes the socket as the component wanted.
    async fn end(mut self, conversed: Result<(), ConnectError>) -> Result<(), ConnectError> {
        conversed?;
        self.client.drop_connection(self.connection)?;
        if self.next == Next::Close {
            // What matters has been said; a reset behind it tells nothing.
            let _ = self.socket.close().await;
        }
        match self.outcome {
            Some(Outcome::Closed(closed)) => judge(closed, self.quiet),
            Some(Outcome::Refused(refused)) => Err(ConnectError::Refused(refused)),
            Some(Outcome::Input(error)) => Err(ConnectError::Input(error)),
            None => Err(ConnectError::Closed(Closed::EndOfStream)),
        }
    }

    fn note(&self, text: fmt::Arguments<'_>) {
        note(self.quiet, text);
    }
}

/// Says something on stderr, where nobody may be reading.
fn note(quiet: bool, text: fmt::Arguments<'_>) {
    if !quiet {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Whether a connection has ended well.
fn judge(closed: Closed, quiet: bool) -> Result<(), ConnectError> {
    match closed {
        Closed::Handshake(None) => note(quiet, format_args!("closed")),
        Closed::Handshake(Some(reason))
            if matches!(reason.code, NORMAL | GOING_AWAY | NO_STATUS) =>
        {
            let text = printable(&reason.reason);
            let gap = if text.is_empty() { "" } else { ": " };
            note(
                quiet,
                format_args!("closed with {}{gap}{text}", reason.code),
            );
        }
        closed => return Err(ConnectError::Closed(closed)),
    }
    Ok(())
}
