//! A conversation with a server: what is sent when, what is printed, and when it ends.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::select;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};

use super::{ConnectError, Connection};
use crate::commands::connect::args::Connect;
use crate::commands::connect::outcome::{GOING_AWAY, NORMAL, Outcome, note};
use crate::commands::connect::printer::Printer;
use crate::commands::connect::stdin::{self, Input};
use wasocket_host::bindings::{Closed, Event, Message, Opened, Piece};
use wasocket_host::clock::Clock;
use wasocket_host::net::dial::error::printable;
use wasocket_host::process::os_signals::{Signal, Signals};

/// How long the server may continue after the end of stdin.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server must be silent to be considered done.
const QUIET: Duration = Duration::from_millis(200);
/// The number of the ping before the end; others count from 1.
const LAST_PING: u64 = 0;

/// A connection and its state.
pub(super) struct Conversation<'a> {
    options: &'a Connect,
    quiet: bool,
    connection: Connection,
    clock: Clock,
    state: State,
    next_ping: Option<Instant>,
    /// Set at the end of stdin.
    finish: Option<Finish>,
    /// Number of pings sent.
    pings: u64,
    printer: Printer,
    /// Whether an answer is missing: nothing has arrived since the last message was sent.
    is_unanswered: bool,
    /// The signal that closed the connection.
    interrupted: Option<Signal>,
    /// How the connection ended.
    outcome: Option<Outcome>,
}

/// The time the server has to answer what was sent before the end of stdin.
#[derive(Clone, Copy)]
struct Finish {
    /// The latest time to close the connection.
    latest: Instant,
    /// When the server last sent something after it answered the last ping, which shows that it has received all.
    heard: Option<Instant>,
}

impl Finish {
    /// The time to close the connection.
    fn at(self) -> Instant {
        let quiet = self.heard.map(|heard| heard + QUIET);
        quiet.map_or(self.latest, |quiet| quiet.min(self.latest))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    /// The closing handshake has begun.
    Closing,
}

/// An event that a conversation waits for.
enum LoopEvent {
    Events(Result<Vec<Event>, ConnectError>),
    Ping,
    Finished,
    Input(Option<Input>),
    Signal(Signal),
}

impl<'a> Conversation<'a> {
    /// A conversation on a connection whose opening handshake has begun.
    pub(super) fn new(
        options: &'a Connect,
        quiet: bool,
        clock: Clock,
        connection: Connection,
    ) -> Self {
        Self {
            options,
            quiet,
            connection,
            clock,
            state: State::Connecting,
            next_ping: None,
            finish: None,
            pings: 0,
            printer: Printer::new(options.binary),
            // One message is an answer to whatever is sent, or to the request.
            is_unanswered: options.one_message,
            interrupted: None,
            outcome: None,
        }
    }

    /// Runs until the connection is closed.
    pub(super) async fn run(mut self) -> Result<(), ConnectError> {
        let result = self.event_loop().await;
        self.end(result).await
    }

    async fn event_loop(&mut self) -> Result<(), ConnectError> {
        let mut signals = Signals::catch()?;
        let mut stdin_open = !self.options.listen;
        let mut stdin = if stdin_open {
            stdin::read_stdin(self.options.binary)?
        } else {
            stdin::nothing()
        };
        while self.connection.is_live() {
            let takes_input =
                stdin_open && self.state == State::Open && self.connection.unsent() == 0;
            let next = self.next_event(&mut signals, &mut stdin, takes_input);
            match next.await {
                LoopEvent::Events(events) => {
                    for event in events? {
                        self.on_event(event)?;
                    }
                }
                LoopEvent::Ping => self.ping()?,
                LoopEvent::Finished => self.close(NORMAL)?,
                LoopEvent::Input(Some(Ok(message))) => self.send(&message)?,
                LoopEvent::Input(Some(Err(error))) => {
                    stdin_open = false;
                    self.outcome = Some(Outcome::Input(error));
                    self.close(NORMAL)?;
                }
                LoopEvent::Input(None) => {
                    stdin_open = false;
                    self.finish()?;
                }
                LoopEvent::Signal(signal) if self.state == State::Open => {
                    self.note(format_args!(
                        "{signal}: closing; press again to exit at once"
                    ));
                    self.close(GOING_AWAY)?;
                    self.interrupted = Some(signal);
                }
                // The WebSocket is closed; only the server's socket is still open.
                LoopEvent::Signal(_) if self.outcome.is_some() => return Ok(()),
                LoopEvent::Signal(signal) => return Err(ConnectError::Interrupted(signal)),
            }
        }
        Ok(())
    }

    async fn next_event(
        &mut self,
        signals: &mut Signals,
        stdin: &mut Receiver<Input>,
        takes_input: bool,
    ) -> LoopEvent {
        let never = Instant::now();
        let finish_at = self.finish.map(Finish::at);
        select! {
            signal = signals.next() => LoopEvent::Signal(signal),
            () = sleep_until(self.next_ping.unwrap_or(never)), if self.next_ping.is_some() => {
                LoopEvent::Ping
            }
            () = sleep_until(finish_at.unwrap_or(never)), if finish_at.is_some() => {
                LoopEvent::Finished
            }
            events = self.connection.next() => LoopEvent::Events(events),
            input = stdin.recv(), if takes_input => LoopEvent::Input(input),
        }
    }

    fn on_event(&mut self, event: Event) -> Result<(), ConnectError> {
        match event {
            Event::Opened(opened) => return self.on_opened(&opened),
            Event::Message(message) => return self.on_piece(&whole(message)),
            Event::Piece(piece) => return self.on_piece(&piece),
            Event::Refused(refused) => self.outcome = Some(Outcome::Refused(refused)),
            Event::Closed(closed) => {
                let outcome = Outcome::of(closed, self.state == State::Open);
                self.outcome.get_or_insert(outcome);
                self.state = State::Closing;
                self.next_ping = None;
                self.finish = None;
            }
            Event::Ping(_) => {}
            Event::Pong(payload) => self.on_pong(&payload),
        }
        Ok(())
    }

    fn on_opened(&mut self, opened: &Opened) -> Result<(), ConnectError> {
        self.state = State::Open;
        let subprotocol = match opened.subprotocol.as_deref().map(printable) {
            Some(name) => format!(", subprotocol {name}"),
            None if self.options.subprotocol.is_empty() => String::new(),
            None => ", none of the subprotocols".to_owned(),
        };
        let compressed = if opened.compress { ", compressed" } else { "" };
        self.note(format_args!(
            "connected to {}{subprotocol}{compressed}",
            self.options.url
        ));
        match self.options.ping {
            Some(_) if self.connection.is_live() => self.ping(),
            _ => Ok(()),
        }
    }

    fn on_piece(&mut self, piece: &Piece) -> Result<(), ConnectError> {
        let done = self.options.one_message && self.state == State::Closing;
        if done || matches!(self.outcome, Some(Outcome::Input(_))) {
            return Ok(());
        }
        self.is_unanswered = false;
        if let Some(heard) = self
            .finish
            .as_mut()
            .and_then(|finish| finish.heard.as_mut())
        {
            *heard = Instant::now();
        }
        match self.printer.print(piece) {
            Ok(skipped) => {
                if let Some(size) = skipped {
                    self.note(format_args!(
                        "a binary message of {size} bytes; --binary prints it"
                    ));
                }
                if self.options.one_message && piece.last {
                    self.close(NORMAL)
                } else {
                    Ok(())
                }
            }
            // The reader of stdout has had enough, as in `| head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.close(NORMAL),
            Err(error) => Err(ConnectError::Stdout(error)),
        }
    }

    /// Pings the server and schedules the next ping.
    fn ping(&mut self) -> Result<(), ConnectError> {
        let every = self.options.ping.flatten().map(Duration::from_secs);
        self.next_ping = every.and_then(|every| Instant::now().checked_add(every));
        self.pings = self.pings.wrapping_add(1);
        self.send_ping(self.pings)
    }

    /// Called at the end of stdin. The server may still have something to answer, which it cannot do after our Close frame
    /// (RFC 6455 §5.5.1). It has as long as the user says. Otherwise, once it has answered a ping, it has received
    /// everything; then it has to be silent for a while, since many servers answer a ping before earlier messages.
    fn finish(&mut self) -> Result<(), ConnectError> {
        let wait = self.options.wait.map(Duration::from_secs);
        if wait.is_none() && self.options.one_message {
            return Ok(());
        }
        self.finish = Some(Finish {
            latest: Instant::now() + wait.unwrap_or(FINISH_TIMEOUT),
            heard: None,
        });
        match wait {
            Some(_) => Ok(()),
            None => self.send_ping(LAST_PING),
        }
    }

    /// A ping carries its number and the time it was sent.
    fn send_ping(&mut self, number: u64) -> Result<(), ConnectError> {
        let payload = [number.to_be_bytes(), self.clock.now().to_be_bytes()].concat();
        let sent = self.connection.ping(&payload)?;
        self.note_unsent(sent);
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
                    finish.heard = Some(Instant::now());
                }
            }
            number => {
                let milliseconds = Duration::from_nanos(took).as_secs_f64() * 1000.0;
                self.note(format_args!("pong {number} after {milliseconds:.3} ms"));
            }
        }
    }

    fn send(&mut self, message: &Message) -> Result<(), ConnectError> {
        let sent = self.connection.send(message)?;
        // Without any time for an answer, none is expected.
        self.is_unanswered |= sent.is_ok() && self.options.wait != Some(0);
        self.note_unsent(sent);
        Ok(())
    }

    /// Begins the closing handshake, unless it has begun.
    fn close(&mut self, code: u16) -> Result<(), ConnectError> {
        if self.state != State::Open || !self.connection.is_live() {
            return Ok(());
        }
        self.state = State::Closing;
        self.next_ping = None;
        self.finish = None;
        let sent = self.connection.close(code, "")?;
        self.note_unsent(sent);
        Ok(())
    }

    /// Reports what could not be sent: the connection has ended, and an event says how.
    fn note_unsent(&self, sent: Result<(), String>) {
        if let Err(reason) = sent {
            self.note(format_args!("not sent: {reason}"));
        }
    }

    /// Closes the socket, and returns how the connection ended.
    async fn end(self, result: Result<(), ConnectError>) -> Result<(), ConnectError> {
        if self.connection.was_hung_up() && !self.options.url.secure {
            self.note(format_args!("does the server expect TLS? Then wss://"));
        }
        result?;
        self.connection.end().await?;
        match self.outcome {
            Some(outcome) => outcome.judge(self.options, self.quiet)?,
            None => return Err(ConnectError::Closed(Closed::EndOfStream)),
        }
        match self.interrupted {
            Some(signal) => Err(ConnectError::Interrupted(signal)),
            None if self.is_unanswered => Err(ConnectError::Unanswered),
            None => Ok(()),
        }
    }

    fn note(&self, text: fmt::Arguments<'_>) {
        note(self.quiet, text);
    }
}

/// A message in one piece.
fn whole(message: Message) -> Piece {
    let (is_text, bytes) = match message {
        Message::Text(text) => (true, text.into_bytes()),
        Message::Binary(bytes) => (false, bytes),
    };
    Piece {
        is_text,
        bytes,
        last: true,
    }
}
