//! A server for the tests of the load generator: this project's protocol, one thread per connection, and the ways in
//! which a server may fail.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use wasocket::extension::DeflateOptions;
use wasocket::{
    Answer, Connection, Fields, Instant, Message, ReadyList, Request, Takeover, Upgrade, UsageError,
};

/// What the server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Sends it back.
    Echo,
    /// Sends it back later.
    Delay(Duration),
    /// Sends it back without its last byte.
    Truncate,
    /// Sends it back with another last byte.
    Alter,
    /// Closes the connection.
    Close,
    /// Refuses the handshake.
    Refuse,
}

/// Starts a server, which runs until the tests end.
pub fn start(behaviour: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // The client notices how it ends.
            thread::spawn(move || serve(stream, behaviour));
        }
    });
    address
}

fn serve(mut stream: TcpStream, behaviour: Behaviour) -> io::Result<()> {
    let request = read_request(&mut stream)?;
    let upgrade = Upgrade::new().compression(DeflateOptions::default());
    let handler =
        move |connection: &mut Connection, message| answer(connection, message, behaviour);
    match upgrade.accept(&request, handler) {
        Answer::Takeover(takeover) if behaviour != Behaviour::Refuse => converse(stream, takeover),
        _ => stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n"),
    }
}

fn answer(
    connection: &mut Connection,
    message: Message,
    behaviour: Behaviour,
) -> Result<(), UsageError> {
    let mut bytes = message.as_bytes().to_vec();
    match behaviour {
        Behaviour::Echo | Behaviour::Refuse => return connection.send(message),
        Behaviour::Delay(time) => {
            thread::sleep(time);
            return connection.send(message);
        }
        Behaviour::Close => return connection.close(wasocket::CloseCode::NORMAL, ""),
        Behaviour::Truncate => drop(bytes.pop()),
        Behaviour::Alter => bytes.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1),
    }
    connection.send_binary(&bytes)
}

fn converse(mut stream: TcpStream, takeover: Takeover) -> io::Result<()> {
    let mut session = takeover.session;
    let head = takeover.response.expect("a WebSocket has a response");
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n")?;
    for (name, value) in head.fields.iter() {
        stream.write_all(&[name.as_bytes(), b": ", value, b"\r\n"].concat())?;
    }
    stream.write_all(b"\r\n")?;
    let now = Instant::default();
    session.open(now, 0, &ReadyList::default(), Vec::new());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let effects = session.receive(now, buffer[..length].to_vec());
        stream.write_all(&effects.output)?;
    }
}

fn read_request(stream: &mut TcpStream) -> io::Result<Request> {
    let mut head = vec![0; 4096];
    let mut length = 0;
    while !head[..length].ends_with(b"\r\n\r\n") {
        length += stream.read(&mut head[length..])?;
    }
    let mut lines = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut lines);
    parsed.parse(&head[..length]).map_err(io::Error::other)?;
    let mut fields = Fields::new();
    for line in parsed.headers.iter() {
        fields.append(line.name, line.value);
    }
    Ok(Request {
        method: "GET".to_owned(),
        target: "/echo".to_owned(),
        fields,
        ..Request::default()
    })
}
