//! Making a connection.

use std::future::poll_fn;
use std::io;

use redis::{
    Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    RedisError, RedisResult, Value, from_redis_value,
};
use tokio::time::timeout;

use crate::engine::EngineError;
use crate::engine::redis::commands::{Commands, Order, Scripts};
use crate::engine::redis::envelope::runner_name;
use crate::engine::redis::layout::Layout;
use crate::engine::redis::settings::Settings;
use crate::engine::redis::transport::{Place, blocking};
use crate::engine::redis::wire::{Arrival, Wire};

const TOPIC_SCRIPT: &str = include_str!("scripts/topic.lua");
const MEMBERS_SCRIPT: &str = include_str!("scripts/members.lua");

/// The oldest version that the scripts run on.
const OLDEST: (u32, u32) = (6, 2);

/// Connects, and gives the runner a lease.
pub(super) async fn connect<Tag: Default>(
    settings: &Settings,
    runner: u64,
) -> Result<(Wire<Tag>, Commands), EngineError> {
    let (place, mut info) = place(settings)?;
    if let Some(file) = settings.password_file.clone() {
        let name = file.display().to_string();
        let password = blocking(move || std::fs::read_to_string(file)).await;
        let password =
            password.map_err(|error| EngineError(format!("cannot read {name}: {error}")))?;
        info = info.set_password(password.trim_end_matches(['\r', '\n']));
    }
    let connected = async {
        let stream = place.open(settings.ca_file.as_deref()).await?;
        let mut wire = Wire::open(stream, &info).await?;
        let commands = prepare(&mut wire, settings, runner).await?;
        Ok::<_, RedisError>((wire, commands))
    };
    let time = settings.connect_timeout;
    match timeout(time, connected).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(error)) => Err(refused(&place, &error)),
        Err(_) => Err(EngineError(format!(
            "Redis at {place} does not answer within {} s",
            time.as_secs_f64()
        ))),
    }
}

/// Where Redis is, and who is connecting.
fn place(settings: &Settings) -> Result<(Place, RedisConnectionInfo), EngineError> {
    if !settings.has_valid_prefix() {
        return Err(EngineError(format!(
            "\"{}\" cannot be the prefix of keys: use 1 to 64 letters, digits, `-`, `_` and `.`",
            settings.prefix
        )));
    }
    // The library knows no TLS here.
    let plain = settings.url.strip_prefix("rediss://");
    let url = match plain {
        Some(rest) => format!("redis://{rest}"),
        None => settings.url.clone(),
    };
    let info = url.into_connection_info().map_err(|error| {
        EngineError(format!(
            "the URL of Redis is wrong: expected redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// or \
             redis+unix:///PATH: {error}"
        ))
    })?;
    let redis = info.redis_settings().clone();
    let place = match info.addr().clone() {
        ConnectionAddr::Tcp(host, port) if plain.is_some() => Place::Tls { host, port },
        ConnectionAddr::Tcp(host, port) => Place::Tcp { host, port },
        ConnectionAddr::Unix(path) => Place::Unix(path),
        _ => {
            return Err(EngineError(String::from(
                "the URL of Redis is wrong: TLS is rediss://",
            )));
        }
    };
    let redis = redis
        .set_protocol(ProtocolVersion::RESP3)
        .set_skip_set_lib_name();
    Ok((place, redis))
}

/// What is done on each new connection.
async fn prepare<Tag: Default>(
    wire: &mut Wire<Tag>,
    settings: &Settings,
    runner: u64,
) -> RedisResult<Commands> {
    let mut command = redis::cmd("INFO");
    command.arg("server");
    let server: String = from_redis_value(ask(wire, command).await?)?;
    check_server(&server)?;
    let commands = Commands {
        layout: Layout::new(&settings.prefix),
        scripts: Scripts {
            topic: load(wire, TOPIC_SCRIPT).await?,
            members: load(wire, MEMBERS_SCRIPT).await?,
        },
        server_run: field(&server, "run_id").unwrap_or_default().to_owned(),
        runner: runner_name(runner),
        lease_milliseconds: u64::try_from(settings.lease.as_millis()).unwrap_or(u64::MAX),
        bounds: settings.history,
    };
    ask(wire, commands.lease("connect")).await?;
    Ok(commands)
}

async fn load<Tag: Default>(wire: &mut Wire<Tag>, script: &str) -> RedisResult<String> {
    let mut command = redis::cmd("SCRIPT");
    command.arg("LOAD").arg(script);
    Ok(from_redis_value(ask(wire, command).await?)?)
}

async fn ask<Tag: Default>(wire: &mut Wire<Tag>, command: Cmd) -> RedisResult<Value> {
    wire.send(Tag::default(), Order::Run(command));
    loop {
        match poll_fn(|context| wire.poll_next(context)).await {
            Some(Arrival::Reply(_, result)) => return result,
            Some(Arrival::Message { .. }) => {}
            None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }
}

/// # Errors
///
/// If the server is not one that this was made for.
fn check_server(info: &str) -> RedisResult<()> {
    let version = field(info, "redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    let is_old = match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST,
        _ => false,
    };
    if is_old {
        let text = format!("version {version} is too old: 6.2 or later is needed");
        return Err((ErrorKind::InvalidClientConfig, "unsupported", text).into());
    }
    if field(info, "redis_mode") == Some("cluster") {
        let text =
            String::from("it is a node of a cluster: use a single server, or one with replicas");
        return Err((ErrorKind::InvalidClientConfig, "unsupported", text).into());
    }
    Ok(())
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = info.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| *field == name)?;
    Some(value.trim())
}

fn refused(place: &Place, error: &RedisError) -> EngineError {
    let advice = match error.code() {
        Some("WRONGPASS" | "NOAUTH") => {
            ": check user and password, in the URL or the password file"
        }
        Some("LOADING") => ": it is reading its data, and will be ready soon",
        Some("NOPERM") => ": see docs/design/engines.md for the commands that the user needs",
        _ if error.is_connection_refusal() => ": is it running, and is this its port?",
        _ => "",
    };
    EngineError(format!("cannot use Redis at {place}: {error}{advice}"))
}
