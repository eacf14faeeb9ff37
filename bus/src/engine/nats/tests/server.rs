//! A `nats-server` of a test's own, on a free port of the loopback, with its store in a temporary folder.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::engine::nats::{NatsConnector, Tuning};
use crate::settings::Settings;

/// Generous: machines that run tests are busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

static NEXT: AtomicU32 = AtomicU32::new(0);

pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    folder: PathBuf,
    config: String,
}

impl Server {
    /// With JetStream.
    pub(super) fn start() -> Self {
        Self::with("jetstream: { store_dir: \"STORE\" }\nmax_payload: 2MB\n")
    }

    /// With this configuration; `STORE` stands for the folder.
    pub(super) fn with(config: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("wasocket-nats-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = config.replace("STORE", folder.join("store").to_str().unwrap());
        Self {
            child: spawn(&folder, &config, port),
            port,
            folder,
            config,
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn connector(&self) -> NatsConnector {
        let url = format!("nats://127.0.0.1:{}", self.port);
        NatsConnector {
            settings: Settings::from_url(&url).unwrap(),
            tuning: Tuning::default(),
        }
    }

    pub(super) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Ends it as a power cut would, except for what the kernel has.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on the same port.
    pub(super) fn restart(&mut self) {
        self.child = spawn(&self.folder, &self.config, self.port);
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn delete_store(&self) {
        fs::remove_dir_all(self.folder.join("store")).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(folder: &Path, config: &str, port: u16) -> Child {
    let file = folder.join("nats.conf");
    fs::write(&file, format!("host: 127.0.0.1\nport: {port}\n{config}")).unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let child = Command::new("nats-server")
        .arg("--config")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("nats-server, which tests/setup.sh installs");
    let start = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(
            start.elapsed() < PATIENCE,
            "{}",
            fs::read_to_string(folder.join("log")).unwrap()
        );
        sleep(Duration::from_millis(20));
    }
    child
}
