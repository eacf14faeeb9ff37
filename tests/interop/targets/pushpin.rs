//! Pushpin, as packaged by Debian: condure, zurl, pushpin-proxy and pushpin-handler, all started by Pushpin's
//! runner with a configuration in a folder of its own.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Site, TIMEOUT};

/// The key that it signs with.
pub const KEY: &str = "a secret of the proxy's";

pub struct Pushpin {
    runner: Child,
    site: Site,
    publishers: SocketAddr,
    folder: PathBuf,
}

impl Deref for Pushpin {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// The ports on which Pushpin will listen.
pub struct Ports {
    clients: u16,
    publishers: u16,
}

impl Ports {
    pub fn free() -> Self {
        // Both are taken before either is released, so that they differ.
        let take = || TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let (clients, publishers) = (take(), take());
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        Self {
            clients: port(&clients),
            publishers: port(&publishers),
        }
    }

    /// The URL for publishing, for the component.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.publishers)
    }
}

impl Pushpin {
    /// Starts it in front of a backend, and waits until it is ready.
    pub fn start(ports: &Ports, backend: SocketAddr) -> Self {
        let folder = folder();
        configure(&folder, ports, backend);
        let log = fs::File::create(folder.join("log")).expect("a file");
        let runner = Command::new("pushpin")
            .arg(format!(
                "--config={}",
                folder.join("pushpin.conf").display()
            ))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("pushpin: run tests/setup.sh");
        let pushpin = Self {
            runner,
            site: Site {
                address: ([127, 0, 0, 1], ports.clients).into(),
                // The proxy does not wait until its publisher knows of a subscription.
                settling: Duration::from_millis(200),
            },
            publishers: ([127, 0, 0, 1], ports.publishers).into(),
            folder,
        };
        pushpin.wait_until_ready();
        pushpin
    }

    /// Waits until the backend answers a request, and publishing works.
    fn wait_until_ready(&self) {
        let start = Instant::now();
        while !self.is_ready() {
            assert!(start.elapsed() < TIMEOUT, "{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_ready(&self) -> bool {
        let nothing = b"POST /publish/ HTTP/1.0\r\nContent-Length: 12\r\n\r\n{\"items\":[]}";
        let published = exchange(self.publishers, nothing);
        let answer = exchange(
            self.site.address,
            b"GET /ready HTTP/1.0\r\nHost: a.test\r\n\r\n",
        );
        published.is_ok_and(|answer| answer.contains(" 200 "))
            && answer.is_ok_and(|answer| answer.contains("\r\n\r\n") && !answer.contains(" 502 "))
    }

    fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        ["log", "pushpin-proxy.log", "pushpin-handler.log"]
            .map(read)
            .concat()
    }
}

fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(request)?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(answer),
    }
}

/// A folder with a short path, since the path of a socket has at most 107 bytes.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("wasocket-grip-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn configure(folder: &Path, ports: &Ports, backend: SocketAddr) {
    let Ports {
        clients,
        publishers,
    } = ports;
    let here = folder.display();
    let configuration = format!(
        "[global]\n\
         include={{libdir}}/internal.conf\n\
         rundir={here}\n\
         ipc_prefix=p-\n\
         [runner]\n\
         services=condure,zurl,pushpin-proxy,pushpin-handler\n\
         http_port={clients}\n\
         logdir={here}\n\
         client_buffer_size=262144\n\
         client_maxconn=100\n\
         [proxy]\n\
         routesfile=routes\n\
         set_x_forwarded_protocol=proto-only\n\
         sig_iss=pushpin\n\
         sig_key={KEY}\n\
         zurl_out_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in\n\
         zurl_out_stream_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in-stream\n\
         zurl_in_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-out\n\
         [handler]\n\
         push_in_spec=ipc://{here}/push\n\
         push_in_sub_specs=ipc://{here}/push-sub\n\
         push_in_http_addr=127.0.0.1\n\
         push_in_http_port={publishers}\n\
         push_in_http_max_headers_size=10000\n\
         push_in_http_max_body_size=1000000\n\
         stats_spec=ipc://{here}/stats\n\
         command_spec=ipc://{here}/command\n\
         message_rate=2500\n\
         message_hwm=25000\n\
         message_wait=5000\n\
         id_cache_ttl=60\n\
         connection_subscription_max=20\n"
    );
    fs::write(folder.join("pushpin.conf"), configuration).expect("a file");
    let route = format!("* {backend},over_http\n");
    fs::write(folder.join("routes"), route).expect("a file");
}

impl Drop for Pushpin {
    /// Pushpin's runner stops its services when it is terminated, but not when it is killed.
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("pushpin's log:\n{}", self.log());
        }
        let _ = Command::new("kill")
            .arg(self.runner.id().to_string())
            .status();
        let start = Instant::now();
        while matches!(self.runner.try_wait(), Ok(None)) && start.elapsed() < TIMEOUT {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.runner.kill();
        let _ = self.runner.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
