//! The command `connect`: connects to a server, through the client component.

pub mod args;
mod connection;
mod conversation;
mod error;
mod stdin;

pub use connection::Connection;
pub use error::ConnectError;

use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};

use crate::commands::connect::args::Connect;
use connection::entropy;
use conversation::Conversation;
use wasocket_host::bindings::ClientRequest;
use wasocket_host::client::{CLIENT_COMPONENT, Client};
use wasocket_host::clock::Clock;
use wasocket_host::component::Component;
use wasocket_host::component::World;
use wasocket_host::engine;
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
    let mut client = load(options)?;
    let clock = Clock::start();
    let route = Route {
        url: &options.url,
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

fn load(options: &Connect) -> Result<Client, ConnectError> {
    let engine = engine::engine().map_err(ConnectError::Engine)?;
    let component = Component::of_world(World::Client, &engine, CLIENT_COMPONENT)?;
    Ok(Client::new(&component, options.limits())?)
}

fn request(options: &Connect) -> ClientRequest {
    let mut fields = options.header.clone();
    if let Some(origin) = &options.origin {
        fields.push(("Origin".to_owned(), origin.clone().into_bytes()));
    }
    ClientRequest {
        host: options.url.authority.clone(),
        target: options.url.target.clone(),
        subprotocols: options.subprotocol.clone(),
        fields,
        compress: options.compress,
        max_message_size: u64::try_from(options.max_message << 20).unwrap_or(u64::MAX),
    }
}

/// Asks the component whether a request can be sent, without sending it.
fn check(client: &mut Client, clock: Clock, request: &ClientRequest) -> Result<(), ConnectError> {
    let begun = client.connect(clock.now(), request, &entropy()?)?;
    let begun = begun.map_err(ConnectError::Request)?;
    Ok(client.drop_connection(begun.connection)?)
}
