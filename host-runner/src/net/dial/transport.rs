//! Transports to servers: TCP, possibly through a proxy, possibly with TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::net::dial::error::{ProxyError, Stage, TransportError};
use crate::net::dial::proxy::Proxy;
use crate::net::dial::url::{Place, Url};
use crate::net::stream::Stream;

/// The longest response of a proxy that is read, in bytes.
const MAX_PROXY_ANSWER: usize = 16 * 1024;

/// The most interim responses of a proxy before its final one.
const MAX_INTERIM: usize = 16;

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct Route<'a> {
    /// The server.
    pub url: &'a Url,
    /// Where to connect to instead. TLS still expects the certificate of the URL's host.
    pub connect_to: Option<&'a Place>,
    /// The proxy to go through, if any.
    pub proxy: Option<&'a Proxy>,
    /// Whether to accept any certificate.
    pub insecure: bool,
    /// The time limit for the whole process of connecting.
    pub timeout: Duration,
    /// Which of the server's addresses may be connected to. A proxy resolves names itself.
    pub may_reach: fn(IpAddr) -> bool,
}

impl Route<'_> {
    /// Opens a transport to the server, on which nothing has been sent.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub async fn open(&self) -> Result<Box<dyn Stream>, TransportError> {
        let patience = Patience {
            until: Instant::now() + self.timeout,
            time: self.timeout,
        };
        let own = Place::of(self.url);
        let place = self.connect_to.unwrap_or(&own);
        let stream = match self.proxy {
            Some(proxy) => tunnel(proxy, place, patience).await?,
            None => self.direct(place, patience).await?,
        };
        if !self.url.secure {
            return Ok(Box::new(stream));
        }
        let connected = tls(stream, &self.url.host, self.insecure);
        Ok(Box::new(patience.within(Stage::Tls, connected).await??))
    }

    async fn direct(&self, place: &Place, patience: Patience) -> Result<TcpStream, TransportError> {
        let mut addresses = patience
            .within(Stage::Name(place.host.clone()), addresses(place))
            .await?
            .map_err(|error| TransportError::Name(place.host.clone(), error))?;
        // The addresses checked are the ones connected to, so the name cannot resolve differently in between.
        addresses.retain(|address| (self.may_reach)(address.ip()));
        if addresses.is_empty() {
            return Err(TransportError::Prohibited(place.to_string()));
        }
        tcp(&addresses, patience.until)
            .await
            .map_err(|error| TransportError::Tcp(place.to_string(), error))
    }
}

/// How long connecting may take, all stages together.
#[derive(Clone, Copy)]
struct Patience {
    until: Instant,
    time: Duration,
}

impl Patience {
    async fn within<T>(
        self,
        stage: Stage,
        work: impl Future<Output = T>,
    ) -> Result<T, TransportError> {
        timeout_at(self.until, work)
            .await
            .map_err(|_| TransportError::TimedOut(stage, self.time))
    }
}

/// A tunnel to a place, through a proxy.
async fn tunnel(
    proxy: &Proxy,
    place: &Place,
    patience: Patience,
) -> Result<TcpStream, TransportError> {
    let own = Place {
        host: proxy.host.clone(),
        port: proxy.port,
    };
    let no_proxy = |error| TransportError::NoProxy(format!("{own} ({})", proxy.source), error);
    let addresses = patience
        .within(Stage::Name(proxy.host.clone()), addresses(&own))
        .await?
        .map_err(no_proxy)?;
    let stream = tcp(&addresses, patience.until).await.map_err(no_proxy)?;
    patience
        .within(Stage::Proxy, through_proxy(stream, proxy, place))
        .await?
        .map_err(TransportError::Proxy)
}

/// The addresses of a host; at least one.
async fn addresses(place: &Place) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = lookup_host((&*place.host, place.port)).await?.collect();
    if addresses.is_empty() {
        Err(io::Error::other("the name has no address"))
    } else {
        Ok(addresses)
    }
}

/// Connects to the first address that answers. The time left is divided equally over the addresses left.
async fn tcp(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::other("the name has no address");
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left.max(1);
        left = left.saturating_sub(1);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::Error::new(io::ErrorKind::TimedOut, "no answer"),
        }
    }
    Err(failure)
}

/// Asks a proxy to open a tunnel (RFC 9110 §9.3.6).
async fn through_proxy(
    mut stream: TcpStream,
    proxy: &Proxy,
    place: &Place,
) -> Result<TcpStream, ProxyError> {
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some(authorization) = proxy.authorization() {
        request += &format!("Proxy-Authorization: {authorization}\r\n");
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = read_head(&mut stream).await?;
    // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final response".
    for _ in 0..MAX_INTERIM {
        if !is_status(&answer, '1') {
            break;
        }
        answer = read_head(&mut stream).await?;
    }
    // RFC 9110 §9.3.6: "Any 2xx (Successful) response indicates that the sender [...] will switch
    // to tunnel mode".
    if is_status(&answer, '2') {
        Ok(stream)
    } else {
        Err(ProxyError::Refused(answer))
    }
}

/// Whether the status of a response begins with this digit.
fn is_status(answer: &str, digit: char) -> bool {
    let line = answer.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    words
        .next()
        .is_some_and(|version| version.starts_with("HTTP/1."))
        && words
            .next()
            .is_some_and(|code| code.len() == 3 && code.starts_with(digit))
}

/// Reads the head of a response, and no byte after it.
async fn read_head(stream: &mut TcpStream) -> Result<String, ProxyError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_PROXY_ANSWER {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(String::from_utf8_lossy(&head).trim_end().to_owned())
}

async fn tls(
    stream: TcpStream,
    host: &str,
    insecure: bool,
) -> Result<TlsStream<TcpStream>, TransportError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| TransportError::Tls(io::Error::other("the host is not a valid name")))?;
    let connector = TlsConnector::from(config(insecure)?);
    connector
        .connect(name, stream)
        .await
        .map_err(TransportError::Tls)
}

impl Stream for TlsStream<TcpStream> {
    fn unacknowledged(&self) -> Option<usize> {
        self.get_ref().0.unacknowledged()
    }
}

/// The TLS configuration. The one that uses the system's certificates is made only once.
fn config(insecure: bool) -> Result<Arc<ClientConfig>, TransportError> {
    static SECURE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if insecure {
        return Ok(Arc::new(make_config(true)?));
    }
    if let Some(config) = SECURE.get() {
        return Ok(Arc::clone(config));
    }
    let config = Arc::new(make_config(false)?);
    Ok(Arc::clone(SECURE.get_or_init(|| config)))
}

/// The configuration that trusts the system's certificates, for HTTP/1.1.
///
/// # Errors
///
/// [`TransportError::NoRoots`] if there are none.
pub(crate) fn trusting_the_system() -> Result<Arc<ClientConfig>, TransportError> {
    config(false)
}

fn make_config(insecure: bool) -> Result<ClientConfig, TransportError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TransportError::Tls(io::Error::other(error)))?;
    let mut config = if insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth()
    } else {
        builder
            .with_root_certificates(roots()?)
            .with_no_client_auth()
    };
    // RFC 6455 needs HTTP/1.1, so a server must not choose HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificates the system trusts.
fn roots() -> Result<RootCertStore, TransportError> {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(TransportError::NoRoots);
    }
    Ok(roots)
}

/// Accepts every certificate; still checks that the peer has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
