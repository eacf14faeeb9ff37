use wasocket::extension::DeflateOptions;
use wasocket::{ClientRequest, Fields, HttpVersion, Request};

use crate::contract::Field;

/// The default host of requests.
const HOST: &str = "app.test";

/// A GET of a target: a path, and a query after a question mark.
pub fn get(target: &str) -> RequestBuilder {
    request("GET", target)
}

/// A request of any method.
pub fn request(method: &str, target: &str) -> RequestBuilder {
    let mut fields = Fields::new();
    fields.append("Host", HOST);
    RequestBuilder {
        request: Request {
            method: method.to_owned(),
            target: target.to_owned(),
            version: HttpVersion::Http11,
            authority: None,
            protocol: None,
            fields,
            secure: false,
            remote: Some("192.0.2.1:50000".to_owned()),
            ..Request::default()
        },
        residual: Vec::new(),
    }
}

/// The opening handshake of a WebSocket, as a client other than a browser sends it.
pub fn websocket(target: &str) -> Handshake {
    Handshake {
        request: ClientRequest {
            host: HOST.to_owned(),
            target: target.to_owned(),
            subprotocols: Vec::new(),
            compression: None,
            fields: Fields::new(),
        },
        secure: false,
        remote: Some("192.0.2.1:50000".to_owned()),
    }
}

/// A request being built. By default HTTP/1.1 for `Host: app.test` from 192.0.2.1:50000, without TLS.
#[derive(Clone, Debug)]
#[must_use]
pub struct RequestBuilder {
    request: Request,
    residual: Vec<u8>,
}

impl RequestBuilder {
    /// Adds a field line.
    pub fn field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.request.fields.append(name, value);
        self
    }

    /// Removes all lines of a field, such as `Host`.
    pub fn without(mut self, name: &str) -> Self {
        let lines: Vec<Field> = self.request.fields.into();
        let others = lines.into_iter();
        let others = others.filter(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.request.fields = others.collect::<Vec<_>>().into();
        self
    }

    /// Announces a body of this number of bytes. The app never sees the body itself.
    pub fn body(self, length: usize) -> Self {
        self.field("Content-Length", length.to_string())
    }

    /// Sends bytes right after the head. The app gets them if it takes over the socket; otherwise they are lost.
    pub fn residual(mut self, bytes: &[u8]) -> Self {
        self.residual.extend_from_slice(bytes);
        self
    }

    /// Sets another version of HTTP.
    pub fn version(mut self, version: HttpVersion) -> Self {
        self.request.version = version;
        self
    }

    /// Marks the request as received over TLS.
    pub fn secure(mut self) -> Self {
        self.request.secure = true;
        self
    }

    /// Sets the client's address.
    pub fn remote(mut self, address: &str) -> Self {
        self.request.remote = Some(address.to_owned());
        self
    }

    pub(crate) fn into_parts(self) -> (Request, Vec<u8>) {
        (self.request, self.residual)
    }
}

/// Converts a whole request, such as a recorded one.
impl From<Request> for RequestBuilder {
    fn from(request: Request) -> Self {
        Self {
            request,
            residual: Vec::new(),
        }
    }
}

/// An opening handshake being built. For an invalid one, build a [`request`] from fields instead.
#[derive(Clone, Debug)]
#[must_use]
pub struct Handshake {
    request: ClientRequest,
    secure: bool,
    remote: Option<String>,
}

impl Handshake {
    /// Offers subprotocols, the preferred one first.
    pub fn subprotocols(mut self, subprotocols: &[&str]) -> Self {
        self.request.subprotocols = subprotocols.iter().map(|name| (*name).into()).collect();
        self
    }

    /// Offers permessage-deflate.
    pub fn compression(mut self, options: DeflateOptions) -> Self {
        self.request.compression = Some(options);
        self
    }

    /// Sets the origin, as a browser does for a page of `https://app.example`.
    pub fn origin(self, origin: &str) -> Self {
        self.field("Origin", origin)
    }

    /// Adds a field line, other than those of the handshake itself.
    pub fn field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.request.fields.append(name, value);
        self
    }

    /// Sets a host other than `app.test`.
    pub fn host(mut self, host: &str) -> Self {
        self.request.host = host.to_owned();
        self
    }

    /// Marks the request as received over TLS: `wss`.
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// Sets the client's address.
    pub fn remote(mut self, address: &str) -> Self {
        self.remote = Some(address.to_owned());
        self
    }

    pub(crate) fn client_request(&self) -> ClientRequest {
        self.request.clone()
    }

    /// The request, as the host parses it.
    pub(crate) fn parse(&self, head: &[u8]) -> Request {
        let mut fields = Fields::new();
        let lines = head.split(|byte| *byte == b'\n').skip(1);
        for line in lines.map(<[u8]>::trim_ascii) {
            if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                let (name, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default().trim_ascii();
                fields.append(String::from_utf8_lossy(name), value);
            }
        }
        Request {
            method: "GET".to_owned(),
            target: self.request.target.clone(),
            version: HttpVersion::Http11,
            authority: None,
            protocol: None,
            fields,
            secure: self.secure,
            remote: self.remote.clone(),
            ..Request::default()
        }
    }
}
