//! Where `wasocket serve` listens, and how clients reach it: Unix sockets, sockets from systemd, TLS, proxies.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use support::connect::{self, Run};
use support::{
    Server, Site, TIMEOUT, app_behaviours, build_guest, host_behaviours, opening_handshake, root,
    text, wasocket,
};

/// An empty folder for a test.
fn folder(name: &str) -> PathBuf {
    let folder = root().join("target/sockets").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("target is writable");
    folder
}

/// `wasocket serve` on a loopback port, with these options.
fn serve(options: &[&str]) -> Command {
    let mut command = wasocket(&["--verbose", "serve", "--listen", "127.0.0.1:0"]);
    command.args(options);
    command
}

fn assert_fails(options: &[&str], message: &str) {
    let output = serve(options).output().expect("the runner runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{options:?}");
    assert!(error.contains(message), "{options:?}: {error}");
}

#[test]
fn a_unix_socket_is_served_alongside_a_port() {
    let path = folder("unix").join("app.sock");
    let place = format!("unix:{}", path.display());
    // A socket left behind by a process that was killed.
    drop(UnixListener::bind(&path).expect("the folder is writable"));

    let mut server = Server::run(&mut serve(&["--listen", &place]));
    let mode = fs::metadata(&path)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (head, _) = server.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(head.status, 200);

    let mut client = UnixStream::connect(&path).expect("the runner accepts");
    client.set_read_timeout(Some(TIMEOUT)).expect("a time");
    let handshake = String::from_utf8(opening_handshake("/echo")).expect("ASCII");
    let handshake = handshake.replace("a.test", "localhost");
    client.write_all(handshake.as_bytes()).expect("it reads");
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a head");
        received.extend(byte);
    }
    assert!(received.starts_with(b"HTTP/1.1 101 "));
    client.write_all(&text("hello")).expect("it reads");
    let mut echo = [0; 7];
    client.read_exact(&mut echo).expect("an echo");
    assert_eq!(&echo, b"\x81\x05hello");

    assert_fails(&["--listen", &place], "is in use");
    drop(client);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let path = folder("file").join("app.sock");
    fs::write(&path, "precious").expect("the folder is writable");
    let place = format!("unix:{}", path.display());
    assert_fails(&["--listen", &place], "no socket");
    assert_eq!(fs::read(&path).expect("the file"), b"precious");
    assert_fails(
        &["--listen", "unix:/nowhere/app.sock"],
        "unix:/nowhere/app.sock",
    );
}

/// Listens as systemd does, then becomes the program.
const ACTIVATE: &str = "
import os, socket, sys
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
os.execv(sys.argv[1], sys.argv[1:])
";

fn activated(options: &[&str]) -> Command {
    let program = wasocket(&["serve"]);
    let mut command = Command::new("python3");
    command
        .args(["-c", ACTIVATE])
        .arg(program.get_program())
        .args(program.get_args())
        .args(options);
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn a_socket_from_systemd_is_served() {
    for workers in ["1", "2"] {
        let options = ["--listen", "systemd", "--workers", workers];
        let server = Server::run(&mut activated(&options));
        let get = |host| {
            let (head, _) = server.request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            head.status
        };
        assert_eq!(get("localhost"), 200);
        assert_eq!(get("a.test"), 421, "the socket is on loopback");
    }
    assert_fails(&["--listen", "systemd"], "systemd passed no sockets");
}

/// A copy of the certificate in `tests/tls`, in a folder of its own.
struct Certificate(PathBuf);

impl Certificate {
    fn new(name: &str) -> Self {
        let folder = folder(name);
        for file in ["certificate.pem", "key.pem"] {
            let from = root().join("tests/tls").join(file);
            fs::copy(from, folder.join(file)).expect("the folder is writable");
        }
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// Replaces the files by those of a new certificate.
    fn renew(&self) {
        let status = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(self.key())
            .arg("-out")
            .arg(self.file())
            .output()
            .expect("openssl runs")
            .status;
        assert!(status.success());
    }

    fn serve(&self, options: &[&str]) -> Command {
        let mut command = serve(options);
        command.arg("--tls-cert").arg(self.file());
        command.arg("--tls-key").arg(self.key());
        command
    }
}

/// Runs `wasocket connect` to the echo, trusting this certificate.
fn echo(server: &Server, trusted: &Path, line: &[u8]) -> Run {
    let url = format!("wss://localhost:{}/echo", server.address.port());
    let mut command = connect::command(&[&url]);
    connect::run(command.env("SSL_CERT_FILE", trusted), line)
}

#[test]
fn tls_is_spoken() {
    let certificate = Certificate::new("tls");
    let server = Server::run(&mut certificate.serve(&[]));
    let trusted = certificate.file();
    echo(&server, &trusted, b"hello\n").assert_printed("hello\n");
    let long = [vec![b'x'; 1 << 20], b"\n".to_vec()].concat();
    echo(&server, &trusted, &long).assert_printed(&long);

    // The guest knows that the connection is secure: only secure pages are of the same origin.
    let place = format!("localhost:{}", server.address.port());
    let url = format!("wss://{place}/echo");
    for (scheme, code) in [("http", 1), ("https", 0)] {
        let origin = format!("{scheme}://{place}");
        let mut command = connect::command(&[&url, "--origin", &origin]);
        let run = connect::run(command.env("SSL_CERT_FILE", &trusted), b"hello\n");
        assert_eq!(run.code, Some(code), "{run:?}");
    }

    let url = format!("https://{place}/");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let most = version.trim_start_matches("--tlsv");
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--include",
            "--tls-max",
            most,
            version,
        ]);
        let output = curl.arg("--cacert").arg(&trusted).arg(&url).output();
        let output = output.expect("curl runs");
        let page = String::from_utf8_lossy(&output.stdout);
        assert!(page.starts_with("HTTP/1.1 200"), "{version}: {output:?}");
        assert!(page.contains("<html"), "{page}");
    }
}

#[test]
fn every_host_behaviour_holds_over_tls() {
    let certificate = Certificate::new("tls-host");
    let server = Server::run(&mut certificate.serve(&["--allow-host", "*"]));
    let site = Site::at(tls_to(server.address, &certificate.file(), b""));
    // Refused upgrades are covered by another row.
    let origins = [(
        "the vectors of opening handshakes",
        "their origins are those of http://",
    )];
    thread::scope(|scope| {
        for row in host_behaviours::DEFAULT_APP {
            scope.spawn(move || app_behaviours::run("TLS", &[*row], &site, &origins));
        }
    });
}

/// Output held back by TLS is sent, too, and before the end.
#[test]
fn slow_readers_get_everything_over_tls() {
    let certificate = Certificate::new("tls-slow");
    let component = build_guest("faults", "bare");
    let component = component.to_str().expect("a path in UTF-8");
    let serve = |timeout| {
        let options = ["--allow-host", "*", "--send-timeout", timeout, component];
        let server = Server::run(&mut certificate.serve(&options));
        let site = Site::at(tls_to(server.address, &certificate.file(), b""));
        (server, site)
    };
    let (_server, site) = serve("30");
    app_behaviours::run("TLS", host_behaviours::FAULTS, &site, &[]);

    // A client that reads nothing is disconnected.
    let (server, _) = serve("1");
    let config = client_config(&certificate.file());
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(config, name).expect("a client");
    let stream = TcpStream::connect(server.address).expect("it accepts");
    let mut deaf = StreamOwned::new(tls, stream);
    let request = [opening_handshake("/flood"), text("go")].concat();
    deaf.write_all(&request).expect("it reads");
    server.wait_for_log("stopped reading");
}

/// Starts a proxy that opens TLS to a server, after sending these bytes.
fn tls_to(server: SocketAddr, trusted: &Path, before: &'static [u8]) -> SocketAddr {
    let connector = TlsConnector::from(client_config(trusted));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("possible");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || forward(listener, connector, server, before));
    address
}

fn client_config(trusted: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(trusted).expect("a certificate");
    roots.add(certificate).expect("it is one");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the defaults are possible")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
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

#[test]
fn certificates_are_reloaded() {
    let certificate = Certificate::new("tls-reload");
    let server = Server::run(&mut certificate.serve(&["--workers", "2"]));
    let old = certificate.0.join("old.pem");
    fs::copy(certificate.file(), &old).expect("the folder is writable");
    echo(&server, &old, b"a\n").assert_printed("a\n");

    certificate.renew();
    server.signal("HUP");
    server.wait_for_log("reloaded the TLS certificate");
    let new = certificate.0.join("new.pem");
    fs::copy(certificate.file(), &new).expect("the folder is writable");
    // Enough connections to reach both workers.
    for _ in 0..8 {
        echo(&server, &new, b"b\n").assert_printed("b\n");
    }
    echo(&server, &old, b"b\n").assert_failed(1, &["TLS failed"]);

    fs::write(certificate.file(), "no certificate").expect("the folder is writable");
    server.signal("HUP");
    server.wait_for_log("keeping the old one");
    echo(&server, &new, b"c\n").assert_printed("c\n");
}

#[test]
fn clients_without_tls_are_disconnected() {
    let certificate = Certificate::new("tls-plain");
    let server = Server::run(&mut certificate.serve(&["--head-timeout", "1"]));
    let mut plain = server.connect();
    plain.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    server.wait_for_log("plain HTTP");
    // The client gets a TLS alert, not HTTP.
    let mut received = Vec::new();
    let _ = plain.stream.read_to_end(&mut received);
    assert!(!received.starts_with(b"HTTP"), "{received:?}");

    let mut slow = server.connect();
    slow.send(b"\x16");

    assert_eq!(slow.read_to_end(), b"");
    server.wait_for_log("took too long");
}

#[test]
fn unusable_certificates_have_distinct_errors() {
    let certificate = Certificate::new("tls-wrong");
    let file = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
    let (cert, key) = (file(certificate.file()), file(certificate.key()));
    let fails = |cert: &str, key: &str, message: &str| {
        assert_fails(&["--tls-cert", cert, "--tls-key", key], message);
    };
    fails("/nowhere.pem", &key, "cannot read /nowhere.pem");
    fails(&key, &key, "has no certificate");
    fails(&cert, &cert, "has no unencrypted private key");
    let kept = file(certificate.0.join("kept.pem"));
    fs::copy(&cert, &kept).expect("the folder is writable");
    certificate.renew();
    fails(&kept, &key, "does not match the first certificate");
    assert_fails(&["--tls-cert", &cert], "--tls-key");
}

/// A valid opening handshake with further field lines.
fn handshake(fields: &str) -> Vec<u8> {
    let mut handshake = opening_handshake("/echo");
    handshake.truncate(handshake.len() - 2);
    [&handshake[..], fields.as_bytes(), b"\r\n"].concat()
}

/// Sends bytes on a new connection; returns the status of the response.
fn status(site: &Site, bytes: &[u8]) -> u16 {
    let mut client = site.connect();
    client.send(bytes);
    client.read_head().status
}

/// Sends bytes on a new connection; returns all that comes before it is closed or reset.
fn read_all(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let mut client = site.connect();
    client.send(bytes);
    let mut received = Vec::new();
    let _ = client.stream.read_to_end(&mut received);
    received
}

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
const BLOCK: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x02\x12\x34\0\x50";

#[test]
fn the_proxy_protocol_names_the_client() {
    let options = ["--allow-host", "*", "--proxy-protocol"];
    let server = Server::run(&mut serve(&options));
    for (header, remote) in [(LINE, "192.0.2.1:56324"), (BLOCK, "192.0.2.7:4660")] {
        assert_eq!(status(&server, &[header, &handshake("")].concat()), 101);
        server.wait_for_log(&format!("remote={remote} path=\"/echo\""));
    }
    assert_eq!(
        read_all(&server, &handshake("")),
        b"",
        "the header is missing"
    );
    server.wait_for_log("the PROXY header");

    let strangers = ["--proxy-protocol", "--trust", "192.0.2.0/24"];
    let server = Server::run(&mut serve(&strangers));
    assert_eq!(read_all(&server, &[LINE, &handshake("")].concat()), b"");
    server.wait_for_log("--trust");
}

#[test]
fn clients_behind_the_proxy_protocol_are_limited_separately() {
    let options = ["--proxy-protocol", "--max-connections-per-address", "1"];
    let server = Server::run(&mut serve(&[&["--allow-host", "*"], &options[..]].concat()));
    let open = |header: &[u8]| {
        let mut client = server.connect();
        client.send(&[header, &handshake("")].concat());
        let status = client.read_head().status;
        (client, status)
    };
    let (_first, status) = open(LINE);
    assert_eq!(status, 101);
    let (_other, status) = open(BLOCK);
    assert_eq!(status, 101, "another address behind the same proxy");
    assert_eq!(open(LINE).1, 429);
}

#[test]
fn the_proxy_protocol_comes_before_tls() {
    let certificate = Certificate::new("tls-proxied");
    let options = [
        "--allow-host",
        "*",
        "--proxy-protocol",
        "--trust",
        "127.0.0.1",
    ];
    let server = Server::run(&mut certificate.serve(&options));
    for (header, remote) in [(LINE, "192.0.2.1:56324"), (BLOCK, "192.0.2.7:4660")] {
        let site = Site::at(tls_to(server.address, &certificate.file(), header));
        assert_eq!(status(&site, &handshake("")), 101);
        server.wait_for_log(&format!("remote={remote} path=\"/echo\""));
    }
}

/// The app's decision shows what it was told: to a secure connection, an origin of `http://` is foreign.
#[test]
fn only_trusted_proxies_may_name_the_client() {
    let origin = "Origin: http://a.test\r\n";
    let plain = "Forwarded: for=\"192.0.2.1:9\";proto=http\r\n";
    let secure = "X-Forwarded-For: 203.0.113.9, 192.0.2.2\r\nX-Forwarded-Proto: https\r\n";

    let trust = ["--allow-host", "*", "--trust", "127.0.0.0/8"];
    let server = Server::run(&mut serve(&trust));
    assert_eq!(
        status(&server, &handshake(&format!("{origin}{plain}"))),
        101
    );
    server.wait_for_log("remote=192.0.2.1:9 path=\"/echo\"");
    assert_eq!(
        status(&server, &handshake(&format!("{origin}{secure}"))),
        403
    );
    assert_eq!(status(&server, &handshake(secure)), 101);
    server.wait_for_log("remote=192.0.2.2 path=\"/echo\"");
    let both = format!("{origin}{secure}Forwarded: for=192.0.2.3\r\n");
    assert_eq!(
        status(&server, &handshake(&both)),
        101,
        "neither field is trusted"
    );
    server.wait_for_log("remote=127.0.0.1:");

    let strangers = ["--allow-host", "*", "--trust", "192.0.2.0/24"];
    let server = Server::run(&mut serve(&strangers));
    assert_eq!(
        status(&server, &handshake(&format!("{origin}{secure}"))),
        101
    );
    server.wait_for_log("path=\"/echo\"");
    assert!(
        !server.log().contains("remote=192.0.2.2"),
        "{}",
        server.log()
    );
    assert_fails(&["--trust", "10.0.0.1/8"], "10.0.0.0/8");
}
