//! The socket to Redis: TCP, with TLS or without.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::settings::Settings;

/// A socket, whatever it is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens a socket to the server.
///
/// # Errors
///
/// If it cannot be reached, or has not the certificate that is expected of it.
pub(super) async fn open(settings: &Settings) -> io::Result<Box<dyn Stream>> {
    let host = settings.host.as_str();
    if !settings.tls {
        return Ok(Box::new(tcp(host, settings.port).await?));
    }
    let config = tls_config(settings.authorities.clone()).await?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = tcp(host, settings.port).await?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await?))
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn tls_config(authorities: Option<PathBuf>) -> io::Result<ClientConfig> {
    let roots = blocking(move || match authorities {
        Some(file) => roots_of(&file),
        None => roots_of_system(),
    });
    let roots = roots.await?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Reads files on a thread of their own.
pub(super) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> impl Future<Output = io::Result<T>> {
    let task = tokio::task::spawn_blocking(work);
    async { task.await.map_err(io::Error::other)? }
}

fn roots_of(file: &Path) -> io::Result<RootCertStore> {
    let fault = |error: &dyn std::fmt::Display| {
        io::Error::other(format!("certificates of {}: {error}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| fault(&error))? {
        let certificate = certificate.map_err(|error| fault(&error))?;
        roots.add(certificate).map_err(|error| fault(&error))?;
    }
    if roots.is_empty() {
        return Err(fault(&"there are none in it"));
    }
    Ok(roots)
}

fn roots_of_system() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let certificates = rustls_native_certs::load_native_certs().certs;
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(io::Error::other(
            "the system trusts no certificates: install them (on Debian, package ca-certificates)",
        ));
    }
    Ok(roots)
}
