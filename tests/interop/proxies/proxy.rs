//! The proxies of Debian, as plain processes in the foreground, with everything they write in a folder of their own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{TIMEOUT, kill_group, root};

/// A configuration of `deploy/proxies`.
pub fn configuration(name: &str) -> String {
    let file = root().join("deploy/proxies").join(name);
    fs::read_to_string(file).expect("a file of deploy/proxies")
}

/// Whether proxies can change their user, as they do when a system starts them.
pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout == b"0\n"
}

pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("bound").port()
}

/// A certificate for chat.example, in the files that `certbot` makes.
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
    /// Both in one file.
    pub both: PathBuf,
}

impl Certificate {
    pub fn new(folder: &Path) -> Self {
        let file = |name| folder.join(name);
        let own = Self {
            chain: file("fullchain.pem"),
            key: file("privkey.pem"),
            both: file("both.pem"),
        };
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args([
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-subj",
                "/CN=chat.example",
            ])
            .args(["-addext", "subjectAltName=DNS:chat.example"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&own.key)
            .arg("-out")
            .arg(&own.chain)
            .output()
            .expect("openssl runs");
        assert!(output.status.success(), "{output:?}");
        let read = |file: &Path| fs::read(file).expect("a file");
        fs::write(&own.both, [read(&own.chain), read(&own.key)].concat()).expect("a file");
        own
    }
}

/// A running proxy, killed when dropped.
pub struct Proxy {
    child: Child,
    log: PathBuf,
}

impl Proxy {
    /// Starts it, and waits until it accepts on its port.
    pub fn start(mut command: Command, port: u16, folder: &Path) -> Self {
        let log = folder.join("proxy.log");
        let output = fs::File::create(&log).expect("a file");
        let child = command
            // So that its workers are killed with it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a copy"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: run tests/setup.sh: {error}"));
        let mut proxy = Self { child, log };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let is_over = proxy.child.try_wait().expect("ours").is_some();
            assert!(!is_over && start.elapsed() < TIMEOUT, "{}", proxy.log());
            thread::sleep(Duration::from_millis(10));
        }
        proxy
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        kill_group(&mut self.child);
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).expect("a file");
    file
}

/// nginx with what is around the file in `/etc/nginx/nginx.conf`.
pub fn nginx(folder: &Path, module: &str, text: &str) -> Command {
    let user = if is_root() { "user www-data;" } else { "" };
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = folders.map(|name| format!("{name}_temp_path {};", folder.join(name).display()));
    let text = text.replacen(
        "http {",
        &format!("http {{ access_log off; {}", folders.join(" ")),
        1,
    );
    let text = format!(
        "{module} {user} daemon off; worker_processes 1; pid {}; events {{}}\n{text}",
        folder.join("nginx.pid").display()
    );
    let mut command = Command::new("/usr/sbin/nginx");
    command.args(["-e", "stderr", "-p"]).arg(folder);
    command.arg("-c").arg(write(folder, "nginx.conf", &text));
    command
}

/// HAProxy with nothing but this configuration.
pub fn haproxy(folder: &Path, port: u16, text: &str) -> Command {
    let text = text.replace("bind :443", &format!("bind 127.0.0.1:{port}"));
    let mut command = Command::new("/usr/sbin/haproxy");
    command
        .args(["-db", "-f"])
        .arg(write(folder, "haproxy.cfg", &text));
    command
}

/// Caddy, which has to be given a certificate here.
pub fn caddy(folder: &Path, port: u16, text: &str) -> Command {
    let (chain, key) = (folder.join("fullchain.pem"), folder.join("privkey.pem"));
    let site = format!(
        "chat.example:{port} {{\n\tbind 127.0.0.1\n\ttls {} {}\n",
        chain.display(),
        key.display()
    );
    let own = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n";
    let text = own.to_owned() + &text.replace("chat.example {\n", &site);
    let mut command = Command::new("/usr/bin/caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]);
    command.arg(write(folder, "Caddyfile", &text));
    command
        .env("HOME", folder)
        .env_remove("XDG_DATA_HOME")
        .env_remove("XDG_CONFIG_HOME");
    command
}

/// Apache with the modules that the file names.
pub fn apache(folder: &Path, port: u16, text: &str) -> Command {
    let needed = "mpm_event authz_core socache_shmcb ssl headers proxy proxy_http";
    let modules = needed
        .split(' ')
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let user = if is_root() {
        "User www-data\nGroup www-data\n"
    } else {
        ""
    };
    let own = format!(
        "ServerRoot {0}\nDefaultRuntimeDir {0}\nPidFile {0}/apache.pid\nServerName localhost\n\
         ErrorLog /dev/stderr\nListen 127.0.0.1:{port}\n",
        folder.display()
    );
    let text = text.replace("*:443", &format!("127.0.0.1:{port}"));
    let text = modules.collect::<String>() + user + &own + &text;
    let mut command = Command::new("/usr/sbin/apache2");
    command
        .args(["-D", "FOREGROUND", "-f"])
        .arg(write(folder, "apache.conf", &text));
    command
}
