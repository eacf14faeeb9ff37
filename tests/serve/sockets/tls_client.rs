//! Clients that speak TLS.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use support::connect::{self, Run};
use support::{Server, client_config};
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Starts a proxy that opens TLS to a server, after sending these bytes.
pub fn tls_to(server: SocketAddr, trusted: &Path, before: &'static [u8]) -> SocketAddr {
    let connector = TlsConnector::from(client_config(trusted));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("possible");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || forward(listener, connector, server, before));
    address
}

fn forward(
    listener: TcpListener,
    connector: TlsConnector,
    server: SocketAddr,
    before: &'static [u8],
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        while let Ok((mut client, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let stream = tokio::net::TcpStream::connect(server).await;
                let mut stream = stream.expect("it accepts");
                stream.write_all(before).await.expect("it reads");
                let name = ServerName::try_from("localhost").expect("a name");
                let stream = connector.connect(name, stream);
                let mut stream = stream.await.expect("TLS");
                let _ = copy_bidirectional(&mut client, &mut stream).await;
            });
        }
    });
}

/// Runs `wasocket connect` to the echo, trusting this certificate.
pub fn echo(server: &Server, trusted: &Path, line: &[u8]) -> Run {
    let url = format!("wss://localhost:{}/echo", server.address.port());
    let mut command = connect::command(&[&url]);
    connect::run(command.env("SSL_CERT_FILE", trusted), line)
}
