//! A collector that keeps the spans it is sent.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{TIMEOUT, tls_file};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig, ServerConnection, StreamOwned};

use super::otlp::{array, assert_is_otlp};

/// A collector that keeps what it is sent.
pub struct Collector {
    pub url: String,
    pub requests: Arc<Mutex<Vec<Received>>>,
}

/// A request with spans.
pub struct Received {
    pub head: Vec<String>,
    pub document: Value,
}

const TAKEN: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

impl Collector {
    pub fn start() -> Self {
        Self::answering(free_port(), &[])
    }

    /// Answers the first requests with these responses, and does not keep them.
    pub fn answering(listener: TcpListener, first: &'static [&'static str]) -> Self {
        Self::on(listener, "http", first, |stream| Box::new(stream))
    }

    /// Over TLS, with the tests' certificate for localhost.
    pub fn with_tls() -> Self {
        let chain = CertificateDer::pem_file_iter(tls_file("certificate.pem")).expect("a file");
        let chain = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(tls_file("key.pem")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let config = Arc::new(config.expect("a pair"));
        Self::on(free_port(), "https", &[], move |stream| {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            Box::new(StreamOwned::new(session, stream))
        })
    }

    fn on(
        listener: TcpListener,
        scheme: &str,
        first: &'static [&'static str],
        open: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("bound");
        let requests: Arc<Mutex<Vec<Received>>> = Arc::default();
        let received = Arc::clone(&requests);
        let mut answers = first.iter();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = open(stream.expect("a connection"));
                // A client that does not trust the certificate sends nothing.
                let Some(request) = take(&mut stream) else {
                    continue;
                };
                let answer = answers.next();
                if answer.is_none() {
                    received.lock().expect("no panic").push(request);
                }
                let answer = answer.unwrap_or(&TAKEN);
                stream.write_all(answer.as_bytes()).expect("the answer");
            }
        });
        Self {
            url: format!("{scheme}://localhost:{}", address.port()),
            requests,
        }
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Value> {
        let requests = self.requests.lock().expect("no panic");
        let spans = requests.iter().flat_map(|request| {
            assert_is_otlp(&request.document);
            array(&request.document["resourceSpans"][0]["scopeSpans"][0]["spans"])
        });
        spans.cloned().collect()
    }

    pub fn wait_for_spans(&self, number: usize) {
        let start = Instant::now();
        while self.spans().len() < number {
            assert!(start.elapsed() < TIMEOUT, "{:?}", self.spans());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A connection to a collector.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

pub fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// Reads a request as a collector does; `None` if there is none.
fn take(stream: &mut dyn Stream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut head = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    assert_eq!(head.first()?, "POST /v1/traces HTTP/1.1");
    let field = |name: &str| head.iter().find_map(|line| line.strip_prefix(name));
    assert_eq!(field("Content-Type: "), Some("application/json"));
    let length = field("Content-Length: ").expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).expect("the body");
    let document = serde_json::from_slice(&body).expect("JSON");
    Some(Received { head, document })
}
