//! Making a connection.

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;

use redis::{
    Cmd, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, Value,
    from_redis_value,
};

use crate::engine::EngineError;
use crate::engine::redis::commands::{Commands, Order, Scripts};
use crate::engine::redis::envelope::runner_name;
use crate::engine::redis::layout::Layout;
use crate::engine::redis::transport;
use crate::engine::redis::tuning::Tuning;
use crate::engine::redis::wire::{Arrival, Wire};
use crate::settings::{Credentials, Settings};

const TOPIC_SCRIPT: &str = include_str!("scripts/topic.lua");
const MEMBERS_SCRIPT: &str = include_str!("scripts/members.lua");

/// The oldest version that the scripts run on.
const OLDEST: (u32, u32) = (6, 2);

/// Connects, and gives the runner a lease.
pub(super) async fn connect<Tag: Default>(
    settings: &Settings,
    tuning: &Tuning,
    runner: u64,
) -> Result<(Wire<Tag>, Commands), EngineError> {
    let info = introduction(settings).await?;
    let connected = async {
        let stream = transport::open(settings).await?;
        let mut wire = Wire::open(stream, &info).await?;
        let layout = Layout::new(&settings.prefix);
        let commands = prepare(&mut wire, layout, tuning, runner).await?;
        Ok::<_, RedisError>((wire, commands))
    };
    connected.await.map_err(|error| refused(settings, &error))
}

/// Who connects, and to which database.
async fn introduction(settings: &Settings) -> Result<RedisConnectionInfo, EngineError> {
    let info = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(i64::from(settings.database))
        .set_skip_set_lib_name();
    Ok(match settings.credentials.clone() {
        Credentials::None => info,
        Credentials::Token(password) => info.set_password(password),
        Credentials::Password { name, password } => info.set_username(name).set_password(password),
        Credentials::File(file) => info.set_password(read_password(file).await?),
    })
}

async fn read_password(file: PathBuf) -> Result<String, EngineError> {
    let name = file.display().to_string();
    let password = transport::blocking(move || std::fs::read_to_string(file)).await;
    let password = password
        .map_err(|error| EngineError(format!("cannot read the password of {name}: {error}")))?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

/// What is done on each new connection.
async fn prepare<Tag: Default>(
    wire: &mut Wire<Tag>,
    layout: Layout,
    tuning: &Tuning,
    runner: u64,
) -> RedisResult<Commands> {
    let mut command = redis::cmd("INFO");
    command.arg("server");
    let server: String = from_redis_value(ask(wire, command).await?)?;
    let server_run = check_server(&server)?;
    let commands = Commands {
        layout,
        scripts: Scripts {
            topic: load(wire, TOPIC_SCRIPT).await?,
            members: load(wire, MEMBERS_SCRIPT).await?,
        },
        server_run: server_run.to_owned(),
        runner: runner_name(runner),
        tuning: tuning.clone(),
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

/// Which run of the server it is.
///
/// # Errors
///
/// If the server is not one that this was made for.
fn check_server(info: &str) -> RedisResult<&str> {
    let unsupported = |text: String| (ErrorKind::InvalidClientConfig, "unsupported", text);
    let version = field(info, "redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    if let (Some(major), Some(minor)) = (numbers.next(), numbers.next())
        && (major, minor) < OLDEST
    {
        let text = format!("version {version} is too old: 6.2 or later is needed");
        return Err(unsupported(text).into());
    }
    if field(info, "redis_mode") == Some("cluster") {
        let text = "it is a node of a cluster: use a single server, or one with replicas";
        return Err(unsupported(text.to_owned()).into());
    }
    let run = field(info, "run_id").filter(|run| !run.is_empty());
    // Without it, a restart that lost something would go unnoticed.
    run.ok_or_else(|| unsupported("INFO does not tell its run_id".to_owned()).into())
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = info.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| *field == name)?;
    Some(value.trim())
}

fn refused(settings: &Settings, error: &RedisError) -> EngineError {
    let advice = match error.code() {
        Some("WRONGPASS" | "NOAUTH") => {
            ": check user and password, in the URL or the password file"
        }
        Some("LOADING") => ": it is reading its data, and will be ready soon",
        Some("NOPERM") => ": see docs/design/engines.md for the commands that the user needs",
        _ if error.is_connection_refusal() => ": is it running, and is this its port?",
        _ => "",
    };
    EngineError(format!("cannot use {settings}: {error}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_checked() {
        let info = |version: &str, rest: &str| {
            format!("# Server\r\nredis_version:{version}\r\n{rest}\r\n")
        };
        for (version, rest, run) in [
            ("7.0.15", "redis_mode:standalone\r\nrun_id:abc", Some("abc")),
            ("6.2.0", "run_id:abc", Some("abc")),
            ("10.0.0", "run_id:abc", Some("abc")),
            ("unstable", "run_id:abc", Some("abc")),
            ("6.0.16", "run_id:abc", None),
            ("5.9", "run_id:abc", None),
            ("7.0.15", "redis_mode:cluster\r\nrun_id:abc", None),
            ("7.0.15", "run_id:", None),
            ("7.0.15", "", None),
        ] {
            assert_eq!(
                check_server(&info(version, rest)).ok(),
                run,
                "{version} {rest}"
            );
        }
    }
}
