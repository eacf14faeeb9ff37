//! The command `connect`: connects to a server, through the client component.

pub mod args;
mod connection;
mod conversation;
mod error;
mod outcome;
mod printer;
mod stdin;

pub use connection::Connection;
pub use error::ConnectError;

use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};

use crate::commands::connect::args::Connect;
use connection::entropy;
use conversation::Conversation;
use wasocket_host::bindings::{ClientRequest, Field};
use wasocket_host::client::{CLIENT_COMPONENT, Client};
use wasocket_host::clock::Clock;
use wasocket_host::component::{Loader, World};
use wasocket_host::engine;
use wasocket_host::guest::load::cache::Cache;
use wasocket_host::net::dial::proxy::{Proxy, ProxyUrlError};
use wasocket_host::net::dial::transport::Route;

/// Connects to a server, until the connection is closed. `quiet`: write only errors to stderr.
///
/// # Errors
///
/// See [`ConnectError`].
pub fn connect(options: &Connect, quiet: bool) -> Result<(), ConnectError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let outcome = runtime.block_on(run(options, quiet));
    // A name look-up may still be running, and cannot be cancelled.
    runtime.shutdown_background();
    outcome
}

async fn run(options: &Connect, quiet: bool) -> Result<(), ConnectError> {
    let proxy = proxy(options)?;
    let mut client = load()?;
    let clock = Clock::start();
    let route = Route {
        url: &options.url,
        connect_to: options.connect_to.as_ref(),
        proxy: proxy.as_ref(),
        insecure: options.insecure,
        timeout: Duration::from_secs(options.timeout),
        may_reach: |_| true,
    };
    let request = request(options);
    // Checked first: a request that cannot be sent needs no connection.
    check(&mut client, clock, &request)?;
    let stream = route.open().await?;
    let connection = Connection::begin(client, clock, &request, stream)?;
    Conversation::new(options, quiet, clock, connection)
        .run()
        .await
}

/// The proxy to go through, if any.
fn proxy(options: &Connect) -> Result<Option<Proxy>, ProxyUrlError> {
    match &options.proxy {
        Some(proxy) => Proxy::parse("--proxy", proxy).map(Some),
        None if options.no_proxy => Ok(None),
        None => Proxy::from_environment(&options.url),
    }
}

fn load() -> Result<Client, ConnectError> {
    let engine = engine::engine().map_err(ConnectError::Engine)?;
    let loader = Loader {
        cache: Cache::of_user(),
        ..Loader::new(&engine)
    };
    let component = loader.load(World::Client, CLIENT_COMPONENT)?;
    Ok(Client::new(&component, Connect::limits())?)
}

fn request(options: &Connect) -> ClientRequest {
    // As in curl, a field of that name replaces the one that the URL implies.
    let (mut hosts, mut fields): (Vec<Field>, Vec<Field>) = options
        .header
        .iter()
        .cloned()
        .partition(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = hosts.pop();
    fields.append(&mut hosts);
    if let Some(origin) = &options.origin {
        fields.push(("Origin".to_owned(), origin.clone().into_bytes()));
    }
    ClientRequest {
        host: host.map_or_else(
            || options.url.authority.clone(),
            |(_, value)| String::from_utf8_lossy(&value).into_owned(),
        ),
        target: options.url.target.clone(),
        subprotocols: options.subprotocol.clone(),
        fields,
        compress: options.compress,
        max_message_size: options.max_message.map_or(u64::MAX, |size| size << 20),
        in_pieces: true,
        ping_interval: keepalive(options),
    }
}

/// How long the server may be silent before it is pinged, in nanoseconds.
fn keepalive(options: &Connect) -> Option<u64> {
    const SECOND: u64 = 1_000_000_000;
    (options.keepalive > 0).then(|| options.keepalive.saturating_mul(SECOND))
}

/// Asks the component whether a request can be sent, without sending it.
fn check(client: &mut Client, clock: Clock, request: &ClientRequest) -> Result<(), ConnectError> {
    let begun = client.connect(clock.now(), request, &entropy()?)?;
    let begun = begun.map_err(ConnectError::Request)?;
    Ok(client.drop_connection(begun.connection)?)
}
