//! The component under test.

use std::fmt;

use wasmtime::component::ResourceAny;
use wasocket_vectors::{Fields, HandshakeVector};

use wasocket_host::bindings::{Answer, HttpVersion, Request, Takeover, Verdict};
use wasocket_host::component::Component;
use wasocket_host::guest::GuestFault;
use wasocket_host::guest::Limits;
use wasocket_host::guest::{Guest, finish};

/// The path in the vectors' requests.
const VECTORS_PATH: &str = "/echo";

/// The most calls of `poll` for one request.
const MAX_POLLS: usize = 100;

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    Fault(GuestFault),
    /// The component waits for something that will not come.
    Pending,
}

impl From<GuestFault> for NoAnswer {
    fn from(fault: GuestFault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Pending => write!(f, "no answer: it still waits, without asking for a time"),
        }
    }
}

/// A component, and an instance that is replaced after a fault.
pub(crate) struct Subject {
    component: Component,
    limits: Limits,
    path: String,
    guest: Option<Guest>,
    last_id: u64,
}

impl Subject {
    pub(crate) fn new(component: Component, limits: Limits, path: &str) -> Self {
        Self {
            component,
            limits,
            path: path.to_owned(),
            guest: None,
            last_id: 0,
        }
    }

    /// Calls the instance. After a fault, the next call uses a new one.
    pub(crate) fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Guest) -> Result<T, GuestFault>,
    ) -> Result<T, GuestFault> {
        let guest = match &mut self.guest {
            Some(guest) => guest,
            None => {
                let guest = finish(Guest::new(&self.component, self.limits))?;
                self.guest.insert(guest)
            }
        };
        let result = call(guest);
        if result.is_err() {
            self.guest = None;
        }
        result
    }

    /// Makes the next call use a new instance.
    pub(crate) fn renew(&mut self) {
        self.guest = None;
    }

    /// Sends a request. A component that waits before it answers gets the time it asks for.
    pub(crate) fn handle(&mut self, request: &Request) -> Result<Answer, NoAnswer> {
        let pending_request = match self.call(|guest| finish(guest.handle(request)))?.verdict {
            Verdict::Answer(answer) => return Ok(answer),
            Verdict::Pending(pending_request) => pending_request,
        };
        let id = self.next_id();
        let mut at = Some(0);
        let mut answer = None;
        for _ in 0..MAX_POLLS {
            let Some(now) = at.filter(|_| answer.is_none()) else {
                break;
            };
            let progress = self.call(|guest| finish(guest.poll(pending_request, now, id)))?;
            (answer, at) = (progress.answer, progress.wake_at);
        }
        self.call(|guest| finish(guest.drop_resource(pending_request)))?;
        answer.ok_or(NoAnswer::Pending)
    }

    pub(crate) fn drop_connection(&mut self, connection: ResourceAny) -> Result<(), GuestFault> {
        self.call(|guest| finish(guest.drop_resource(connection)))
    }

    /// An id for a connection.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The path under test.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A vector's request, for the path under test.
    pub(crate) fn request_of(&self, vector: &HandshakeVector) -> Request {
        let (method, target, minor, fields) = vector.parse();
        let version = match minor {
            0 => HttpVersion::Http10,
            _ => HttpVersion::Http11,
        };
        Request {
            version,
            ..request(
                &method,
                &target.replacen(VECTORS_PATH, &self.path, 1),
                fields,
            )
        }
    }

    /// A valid opening handshake (RFC 6455 1.3) with these extra fields.
    pub(crate) fn handshake(&self, further: &[(&str, &str)]) -> Request {
        let own = [
            ("Host", "a.test"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        request("GET", &self.path, fields(own.iter().chain(further)))
    }

    /// Sends a request and drops a takeover. Returns the status, `None` for a raw takeover, and the fields.
    pub(crate) fn answer(&mut self, request: &Request) -> Result<(Option<u16>, Fields), NoAnswer> {
        let head = match self.handle(request)? {
            Answer::Respond(response) => Some(response.head),
            Answer::Takeover(Takeover {
                response,
                connection,
                ..
            }) => {
                self.drop_connection(connection)?;
                response
            }
        };
        Ok(match head {
            Some(head) => (Some(head.status), head.fields),
            None => (None, Vec::new()),
        })
    }
}

/// Makes fields of texts.
pub(crate) fn fields<'a>(lines: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Fields {
    let lines = lines.into_iter();
    lines
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// An HTTP/1.1 request.
pub(crate) fn request(method: &str, target: &str, fields: Fields) -> Request {
    Request {
        method: method.to_owned(),
        target: target.to_owned(),
        version: HttpVersion::Http11,
        authority: None,
        protocol: None,
        fields,
        secure: false,
        remote: Some("192.0.2.1:50000".to_owned()),
    }
}
