//! The connection itself: who we are, TLS, and noticing that it is gone.

use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError};
use tokio::sync::watch;

use super::names::Names;
use super::tuning::Tuning;
use crate::engine::EngineError;
use crate::settings::{Credentials, Settings};

/// Messages that wait for us within the client, of one subscription. With one more, some would be lost: the connection
/// is given up instead.
const WAITING: usize = 1 << 16;

/// Why the connection is gone, once it is.
pub(super) type Lost = watch::Receiver<Option<EngineError>>;

/// Connects.
///
/// # Errors
///
/// If the server cannot be reached, or refuses us.
pub(super) async fn connect(
    settings: &Settings,
    tuning: &Tuning,
    names: &Names,
) -> Result<(Client, Lost), EngineError> {
    let (told, lost) = watch::channel(None);
    let options = options(settings, tuning, names, told);
    let options = with_credentials(options, &settings.credentials).await?;
    let address = address(settings);
    let client = options.connect(&address).await;
    let client = client.map_err(|error| refused(&address, &error))?;
    never_reconnect(&client).await?;
    Ok((client, lost))
}

fn address(settings: &Settings) -> String {
    let scheme = if settings.tls { "tls" } else { "nats" };
    let (host, port) = (&settings.host, settings.port);
    if host.contains(':') {
        format!("{scheme}://[{host}]:{port}")
    } else {
        format!("{scheme}://{host}:{port}")
    }
}

fn options(
    settings: &Settings,
    tuning: &Tuning,
    names: &Names,
    told: watch::Sender<Option<EngineError>>,
) -> ConnectOptions {
    let options = ConnectOptions::new()
        .name(concat!("wasocket ", env!("CARGO_PKG_VERSION")))
        .ping_interval(tuning.idle)
        .connection_timeout(tuning.answer_timeout)
        .request_timeout(Some(tuning.answer_timeout))
        .subscription_capacity(WAITING)
        .custom_inbox_prefix(names.inbox())
        .ignore_discovered_servers()
        .reconnect_delay_callback(|_| Duration::ZERO)
        // The first connection counts as one, too.
        .max_reconnects(1)
        .event_callback(move |event| {
            if let Some(error) = loss(&event) {
                told.send_if_modified(|lost| lost.is_none() && lost.replace(error).is_none());
            }
            std::future::ready(())
        });
    match &settings.authorities {
        Some(authorities) => options.add_root_certificates(authorities.clone()),
        None => options,
    }
}

async fn with_credentials(
    options: ConnectOptions,
    credentials: &Credentials,
) -> Result<ConnectOptions, EngineError> {
    match credentials {
        Credentials::None => Ok(options),
        Credentials::Token(token) => Ok(options.token(token.clone())),
        Credentials::Password { name, password } => {
            Ok(options.user_and_password(name.clone(), password.clone()))
        }
        Credentials::File(path) => with_file(options, path).await,
    }
}

/// A file that `nsc` wrote, with a JWT and the seed of an nkey; or one with nothing but the seed.
async fn with_file(options: ConnectOptions, path: &Path) -> Result<ConnectOptions, EngineError> {
    let shown = path.display();
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|error| {
        EngineError(format!(
            "cannot read the NATS credentials in {shown}: {error}"
        ))
    })?;
    let is_seed = |line: &str| {
        line.starts_with("SU") && line.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if is_seed(text.trim()) {
        return Ok(options.nkey(text.trim().to_owned()));
    }
    options.credentials(&text).map_err(|error| {
        EngineError(format!(
            "{shown} is neither a file of NATS credentials nor the seed of an nkey: {error}"
        ))
    })
}

/// The bus makes new connections itself, since it has to know what may have been lost in between. The client cannot be
/// told to make none; so it gets one address, at which nothing can be.
async fn never_reconnect(client: &Client) -> Result<(), EngineError> {
    let nowhere = client.set_server_pool("nats://127.0.0.1:0").await;
    nowhere.map_err(|error| {
        EngineError(format!(
            "the connection to the NATS server is lost: {error}"
        ))
    })
}

/// What an event means for the connection.
fn loss(event: &Event) -> Option<EngineError> {
    let text = match event {
        Event::Disconnected | Event::Closed => {
            "the connection to the NATS server is lost".to_owned()
        }
        Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_)) => {
            "this runner takes publications from the NATS server more slowly than they come"
                .to_owned()
        }
        Event::ServerError(error) => format!(
            "the NATS server refuses something; its user needs the permissions of docs/design/engines.md: {error}"
        ),
        _ => return None,
    };
    Some(EngineError(text))
}

fn refused(address: &str, error: &async_nats::ConnectError) -> EngineError {
    let hint = match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            "; check the user, password, token or credentials file"
        }
        ConnectErrorKind::Tls => "; check the certificate and the file of trusted authorities",
        _ => "",
    };
    EngineError(format!(
        "cannot connect to the NATS server at {address}: {error}{hint}"
    ))
}
