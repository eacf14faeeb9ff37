//! The client's side under the Autobahn test suite: drives its `fuzzingserver` with an echo, through
//! the component of `wasocket connect`. `tests/conformance.sh --client` runs it.
//!
//! ```text
//! autobahn-client ws://127.0.0.1:9001
//! ```

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use wasocket_cli::commands::connect::{ConnectError, Connection};
use wasocket_host::bindings::{ClientRequest, Event, Message};
use wasocket_host::client::{CLIENT_COMPONENT, Client};
use wasocket_host::clock::Clock;
use wasocket_host::component::{Component, World};
use wasocket_host::engine;
use wasocket_host::guest::Limits;
use wasocket_host::transport::Route;
use wasocket_host::url::Url;

/// The name in the reports.
const AGENT: &str = "wasocket";
/// The longest messages of the suite have 16 MiB.
const MAX_MESSAGE: u64 = 16 << 20;
/// Generous, since this tests correctness on any machine, not speed.
const LIMITS: Limits = Limits {
    memory: 256 << 20,
    call_time: Duration::from_secs(10),
    file_time: Duration::from_secs(5),
    start_time: Duration::from_secs(1),
    message_limits: None,
};

fn main() -> ExitCode {
    let Some(server) = env::args().nth(1) else {
        return fail("usage: autobahn-client ws://HOST:PORT");
    };
    match run(server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(reason: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{reason}");
    ExitCode::FAILURE
}

fn run(server: String) -> Result<(), String> {
    let suite = Suite::new(server).map_err(|error| error.to_string())?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(suite.run())
}

struct Suite {
    server: String,
    component: Component,
}

impl Suite {
    fn new(server: String) -> Result<Self, ConnectError> {
        let engine = engine::engine().map_err(ConnectError::Engine)?;
        let component = Component::of_world(World::Client, &engine, CLIENT_COMPONENT)?;
        Ok(Self { server, component })
    }

    /// Runs every case on a connection of its own, then requests the report.
    async fn run(&self) -> Result<(), String> {
        let count = self.converse("/getCaseCount").await?;
        let Some(Message::Text(count)) = count else {
            return Err("no number of cases".to_owned());
        };
        let count: usize = count.parse().map_err(|_| format!("{count:?} cases"))?;
        for case in 1..=count {
            let target = format!("/runCase?case={case}&agent={AGENT}");
            // The suite's report has the result of the case.
            if let Err(error) = self.converse(&target).await {
                let _ = writeln!(io::stderr(), "{error}");
            }
        }
        let reports = format!("/updateReports?agent={AGENT}");
        self.converse(&reports).await.map(drop)
    }

    /// Connects, sends every message back, and returns the last one.
    async fn converse(&self, target: &str) -> Result<Option<Message>, String> {
        let echoed = self.echo(target).await;
        echoed.map_err(|error| format!("{target}: {error}"))
    }

    async fn echo(&self, target: &str) -> Result<Option<Message>, ConnectError> {
        let mut connection = self.connect(target).await?;
        let mut last = None;
        while connection.is_live() {
            for event in connection.next().await? {
                match event {
                    Event::Message(message) => {
                        // Not sent if the server has closed already.
                        let _ = connection.send(&message)?;
                        last = Some(message);
                    }
                    Event::Refused(refused) => return Err(ConnectError::Refused(refused)),
                    _ => {}
                }
            }
        }
        connection.end().await?;
        Ok(last)
    }

    async fn connect(&self, target: &str) -> Result<Connection, ConnectError> {
        let url: Url = format!("{}{target}", self.server)
            .parse()
            .map_err(|error| ConnectError::Request(format!("{error}")))?;
        let route = Route {
            url: &url,
            connect_to: None,
            proxy: None,
            insecure: false,
            timeout: LIMITS.call_time,
            may_reach: |_| true,
        };
        let stream = route.open().await?;
        let client = Client::new(&self.component, LIMITS)?;
        Connection::begin(client, Clock::start(), &request(&url), stream)
    }
}

fn request(url: &Url) -> ClientRequest {
    ClientRequest {
        host: url.authority.clone(),
        target: url.target.clone(),
        subprotocols: vec![],
        fields: vec![],
        compress: true,
        max_message_size: MAX_MESSAGE,
        in_pieces: false,
        ping_interval: None,
    }
}
