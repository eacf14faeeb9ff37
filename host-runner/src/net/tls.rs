//! TLS on accepted connections.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{self, InconsistentKeys, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::net::stream::transport::Transport;

/// The versions of HTTP in ALPN (RFC 9113 §3.1, RFC 7301 §6).
pub(crate) const HTTP_2: &[u8] = b"h2";
const HTTP_11: &[u8] = b"http/1.1";

/// Time between checks of the files for changes.
const PERIOD: Duration = Duration::from_secs(60);

/// The files of the certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// Modification times and lengths of the files, to detect changes.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Files {
    fn load(&self, http2: bool) -> Result<TlsAcceptor, TlsError> {
        let chain = self.chain()?;
        if chain.first().is_some_and(is_authority) {
            tracing::warn!(
                "the first certificate in {} is one of an authority (CA:TRUE), which many clients refuse as a server's \
                 own: put the server's own first, or make one with -addext basicConstraints=critical,CA:FALSE",
                self.certificate.display()
            );
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| TlsError::of(&self.key, "unencrypted private key", error))?;
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| TlsError::Unfit(self.clone(), error))?;
        // In order of preference. Browsers use only what is listed.
        let spoken: &[&[u8]] = if http2 {
            &[HTTP_2, HTTP_11]
        } else {
            &[HTTP_11]
        };
        config.alpn_protocols = spoken.iter().map(|name| name.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let failed = |error| TlsError::of(&self.certificate, "certificate", error);
        let chain = CertificateDer::pem_file_iter(&self.certificate).map_err(failed)?;
        let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(failed)?;
        if chain.is_empty() {
            Err(failed(pem::Error::NoItemsFound))
        } else {
            Ok(chain)
        }
    }

    fn stamps(&self) -> Stamps {
        [&self.certificate, &self.key].map(|file| {
            let metadata = fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

/// Whether clients refuse a certificate as a server's own because it may sign others (RFC 5280 §4.2.1.9).
fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = ParsedCertificate::try_from(certificate) else {
        return false;
    };
    // This is checked first, so it does not matter that no one is trusted here.
    let (roots, now) = (RootCertStore::empty(), UnixTime::now());
    let algorithms = ring::default_provider()
        .signature_verification_algorithms
        .all;
    verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], now, algorithms)
        .is_err_and(|error| is_ca_used_as_end_entity(&error))
}

/// Whether a certificate was refused because it is one of an authority. The library only says so in the text.
pub(crate) fn is_ca_used_as_end_entity(error: &rustls::Error) -> bool {
    error.to_string().contains("CaUsedAsEndEntity")
}

/// A certificate and its key, reloaded when their files change. Shared by all workers, so that a client can resume
/// a TLS session with any of them.
pub struct Tls {
    files: Files,
    http2: bool,
    current: Mutex<Current>,
}

/// The loaded state, and the stamps of the files it was loaded from.
struct Current {
    acceptor: TlsAcceptor,
    loaded: Stamps,
}

impl Tls {
    /// Loads the files. `http2`: also offer HTTP/2.
    ///
    /// # Errors
    ///
    /// See [`TlsError`].
    pub fn load(files: &Files, http2: bool) -> Result<Self, TlsError> {
        Ok(Self {
            // Taken before the files are read, so that a change in between is noticed.
            current: Mutex::new(Current {
                loaded: files.stamps(),
                acceptor: files.load(http2)?,
            }),
            files: files.clone(),
            http2,
        })
    }

    /// Performs the server's side of the TLS handshake.
    ///
    /// # Errors
    ///
    /// If the client does not speak TLS or rejects what it is offered; the stream is closed then.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<Transport>> {
        let acceptor = self.current().acceptor.clone();
        acceptor
            .accept(Transport::new(stream))
            .await
            .map_err(|error| {
                let hint = hint(&error);
                io::Error::new(error.kind(), format!("TLS: {error}{hint}"))
            })
    }

    /// Reloads the files when they change; never returns.
    pub async fn follow(&self) {
        loop {
            sleep(PERIOD).await;
            if self.files.stamps() != self.current().loaded {
                self.reload();
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reloads the files. Open connections keep their certificate. If the new files are invalid, the old certificate
    /// stays.
    pub(crate) fn reload(&self) {
        self.current().loaded = self.files.stamps();
        match self.files.load(self.http2) {
            Ok(acceptor) => {
                self.current().acceptor = acceptor;
                tracing::info!("reloaded the TLS certificate and its key");
            }
            Err(error) => {
                tracing::error!(
                    "could not reload the TLS certificate, keeping the old one: {error}"
                );
            }
        }
    }
}

/// The usual cause of a failed handshake.
fn hint(error: &io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidMessage(_)) => {
            " (does the client speak plain HTTP? It has to use https://)"
        }
        Some(rustls::Error::AlertReceived(_)) => " (the client does not accept the certificate?)",
        _ => "",
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Why the files cannot be used for TLS.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// A file does not contain the named item.
    Nothing(PathBuf, &'static str),
    /// A file is not valid PEM.
    Malformed(PathBuf, pem::Error),
    /// They cannot be used, or not together.
    Unfit(Files, rustls::Error),
}

impl TlsError {
    fn of(file: &Path, what: &'static str, error: pem::Error) -> Self {
        match error {
            pem::Error::Io(error) => Self::Read(file.into(), error),
            pem::Error::NoItemsFound => Self::Nothing(file.into(), what),
            error => Self::Malformed(file.into(), error),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(file, error) => write!(f, "cannot read {}: {error}", file.display()),
            Self::Nothing(file, what) => write!(
                f,
                "{} has no {what}: --tls-cert and --tls-key take PEM files (-----BEGIN ..)",
                file.display()
            ),
            Self::Malformed(file, error) => {
                write!(f, "{} is not valid PEM: {error}", file.display())
            }
            Self::Unfit(files, error) => {
                let (certificate, key) = (files.certificate.display(), files.key.display());
                match error {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => write!(
                        f,
                        "the key in {key} does not match the first certificate in {certificate}: use the two \
                         that were issued together, with the server's own certificate first"
                    ),
                    error => write!(f, "{certificate} and {key} cannot be used: {error}"),
                }
            }
        }
    }
}

impl std::error::Error for TlsError {}
