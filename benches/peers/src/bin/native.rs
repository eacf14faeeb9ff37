//! Wasocket's protocol crate without WebAssembly, with the same reading, writing and waiting as in the runner: the
//! difference is the cost of the sandbox. Only the head of the request is read in a simpler way.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::{Instant as Deadline, sleep_until};
use wasocket::extension::DeflateOptions;
use wasocket::{
    Answer, Connection, Disposition, Effects, Fields, Instant, Limits, Message, ReadyList, Request,
    Takeover, Upgrade,
};
use wasocket_bench_peers::{MAX_MESSAGE, serve};

/// The same as in the runner.
const READ_BUFFER: usize = 64 << 10;

const MAX_HEAD: usize = 64 << 10;

/// The state that connections share.
struct Worker {
    read_buffer: RefCell<Box<[u8]>>,
    start: Deadline,
}

impl Worker {
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn at(&self, instant: Instant) -> Deadline {
        self.start + Duration::from_nanos(instant.as_nanos())
    }
}

fn main() -> io::Result<()> {
    let worker = Rc::new(Worker {
        read_buffer: RefCell::new(vec![0; READ_BUFFER].into_boxed_slice()),
        start: Deadline::now(),
    });
    serve(move |stream| converse(Rc::clone(&worker), stream))
}

async fn converse(worker: Rc<Worker>, mut stream: TcpStream) -> io::Result<()> {
    let (request, residual) = read_request(&mut stream).await?;
    let upgrade = Upgrade::new()
        .limits(Limits::for_messages(MAX_MESSAGE))
        .compression(DeflateOptions::default());
    let answer = upgrade.accept(&request, |connection: &mut Connection, message: Message| {
        connection.send(message)
    });
    match answer {
        Answer::Takeover(takeover) => {
            Conversation::new(worker, stream, takeover)
                .run(residual)
                .await
        }
        Answer::Respond(response) => {
            let status = response.head.status;
            stream
                .write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n").as_bytes())
                .await
        }
    }
}

/// Reads a request's head, and the bytes after it.
async fn read_request(stream: &mut TcpStream) -> io::Result<(Request, Vec<u8>)> {
    let mut head = BytesMut::new();
    loop {
        if stream.read_buf(&mut head).await? == 0 || head.len() > MAX_HEAD {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut lines = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut lines);
        let status = parsed.parse(&head).map_err(io::Error::other)?;
        if let httparse::Status::Complete(length) = status {
            let mut fields = Fields::new();
            for line in parsed.headers.iter() {
                fields.append(line.name, line.value);
            }
            let request = Request {
                method: parsed.method.unwrap_or_default().to_owned(),
                target: parsed.path.unwrap_or_default().to_owned(),
                fields,
                ..Request::default()
            };
            head.advance(length);
            return Ok((request, head.to_vec()));
        }
    }
}

/// A socket and its session, as in `host-runner/src/session.rs`.
struct Conversation {
    worker: Rc<Worker>,
    stream: TcpStream,
    takeover: Takeover,
    backlog: BytesMut,
    wake_at: Option<Instant>,
    paused: bool,
}

enum Event {
    Received(usize),
    Wake,
}

impl Conversation {
    fn new(worker: Rc<Worker>, stream: TcpStream, takeover: Takeover) -> Self {
        Self {
            worker,
            stream,
            takeover,
            backlog: BytesMut::new(),
            wake_at: None,
            paused: false,
        }
    }

    async fn run(mut self, residual: Vec<u8>) -> io::Result<()> {
        let now = self.worker.now();
        let mut effects = self
            .takeover
            .session
            .open(now, 0, &ReadyList::default(), residual);
        let mut output = self.head();
        output.append(&mut effects.output);
        effects.output = output;
        let mut timer = pin!(sleep_until(self.worker.start));
        let mut timer_at = None;
        while self.carry_out(&effects)? {
            if let Some(instant) = self.wake_at
                && self.wake_at != timer_at
            {
                timer.as_mut().reset(self.worker.at(instant));
                timer_at = self.wake_at;
            }
            let event = select! {
                () = &mut timer, if timer_at.is_some() => Event::Wake,
                event = poll_fn(|context| self.poll_socket(context)) => event?,
            };
            if let Event::Wake = event {
                timer_at = None;
            }
            effects = self.call(event);
        }
        Ok(())
    }

    fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        if let Some(response) = &self.takeover.response {
            head.extend(format!("HTTP/1.1 {} Switching Protocols\r\n", response.status).bytes());
            for (name, value) in response.fields.iter() {
                head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
            head.extend(b"\r\n");
        }
        head
    }

    fn call(&mut self, event: Event) -> Effects {
        let now = self.worker.now();
        let session = &mut self.takeover.session;
        match event {
            Event::Received(0) => session.receive_eof(now),
            Event::Received(length) => {
                let buffer = self.worker.read_buffer.borrow();
                // Copied, as into a component's memory.
                session.receive(now, buffer.get(..length).unwrap_or_default().to_vec())
            }
            Event::Wake => session.wake(now, self.backlog.len() as u64),
        }
    }

    /// Carries out the effects; returns whether the socket stays open.
    fn carry_out(&mut self, effects: &Effects) -> io::Result<bool> {
        self.wake_at = effects.wake_at;
        self.paused = effects.next == Disposition::Pause;
        let sent = if self.backlog.is_empty() && !effects.output.is_empty() {
            self.try_write(&effects.output)?
        } else {
            0
        };
        self.backlog
            .extend_from_slice(effects.output.get(sent..).unwrap_or_default());
        Ok(matches!(
            effects.next,
            Disposition::Open | Disposition::Pause
        ))
    }

    fn try_write(&self, output: &[u8]) -> io::Result<usize> {
        match self.stream.try_write(output) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            outcome => outcome,
        }
    }

    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Event>> {
        if !self.backlog.is_empty() {
            while !self.backlog.is_empty() {
                let written = Pin::new(&mut self.stream).poll_write(context, &self.backlog);
                self.backlog.advance(ready!(written)?);
            }
            self.backlog = BytesMut::new();
            return Poll::Ready(Ok(Event::Wake));
        }
        if self.paused {
            return Poll::Pending;
        }
        let mut buffer = self.worker.read_buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(Event::Received(buffer.filled().len())))
    }
}
