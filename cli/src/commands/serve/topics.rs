//! Topics: the engine that carries them between runners, history, and limits.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use clap::builder::ValueHint;
use wasocket_host::bus::limits::{HistoryLimits, Limits};
use wasocket_host::bus::message::Keep;
use wasocket_host::bus::settings::{Credentials, Settings};
use wasocket_host::topics::settings::{ByPrefix, SlowSubscriber, TopicSettings};

use crate::parse::at_least_one;

/// The most bytes of a file with a password or token.
const MAX_SECRET: u64 = 64 * 1024;

/// Topics.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Topics (docs/operating-limits.md)")]
pub struct Topics {
    /// NATS or Redis server that carries topics between runners: nats://, tls:// (NATS over TLS), redis:// or
    /// rediss://, then [NAME[:PASSWORD]@]HOST[:PORT][/DATABASE] [default: none, topics are those of this runner]
    #[arg(long, value_name = "URL", value_parser = Settings::from_url)]
    pub bus: Option<Settings>,
    /// What the names of everything that the runner uses at the bus begin with. Runners with the same one share their
    /// topics
    #[arg(long, value_name = "PREFIX", default_value = "wasocket")]
    pub bus_prefix: String,
    /// File with the credentials for the bus: NAME:PASSWORD, a token or a password alone, or a NATS credentials file
    #[arg(long, value_name = "FILE", requires = "bus", value_hint = ValueHint::AnyPath)]
    pub bus_credentials: Option<PathBuf>,
    /// PEM file with the certificates to trust for the bus instead of the system's
    #[arg(long, value_name = "FILE", requires = "bus", value_hint = ValueHint::AnyPath)]
    pub bus_ca: Option<PathBuf>,
    /// History of the topics that begin with PREFIX, whatever the app asks for: the number of publications, and their
    /// greatest age in s, m, h or d (`chat/=50,10m`; `logs/=0` for none). May be repeated; the longest prefix counts
    #[arg(long, value_name = "PREFIX=COUNT[,AGE]", value_parser = history)]
    pub history: Vec<(String, Keep)>,
    /// Limit on topics with history. Without a bus, the one used least recently goes first
    #[arg(long, value_name = "N", default_value_t = HistoryLimits::default().topics)]
    pub max_history_topics: usize,
    /// Limit on the history of a topic, in publications
    #[arg(long, value_name = "N", default_value_t = HistoryLimits::default().count)]
    pub max_history_count: u32,
    /// Limit on the age of history, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = HistoryLimits::default().seconds)]
    pub max_history_age: u32,
    /// Limit on the history of all topics together, in MiB, without a bus: an engine has limits of its own
    #[arg(long, value_name = "MIB", default_value_t = HistoryLimits::default().bytes >> 20)]
    pub max_history_size: usize,
    /// Limit on topics with subscribers
    #[arg(long, value_name = "N", default_value_t = Limits::default().topics, value_parser = at_least_one())]
    pub max_topics: usize,
    /// Limit on subscriptions of all connections together
    #[arg(long, value_name = "N", default_value_t = Limits::default().subscriptions, value_parser = at_least_one())]
    pub max_subscriptions: usize,
    /// Limit on subscriptions of a connection
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one())]
    pub max_subscriptions_per_connection: usize,
    /// Limit on the size of a publication, in KiB
    #[arg(long, value_name = "KIB", default_value_t = Limits::default().message >> 10, value_parser = at_least_one())]
    pub max_publication_size: usize,
    /// Limit on publications per second of a connection, which is read more slowly if it makes more; 0 means no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_publications_per_second: u32,
    /// Limit on deliveries per second that the publications of a connection cause in this runner; it is read more
    /// slowly if they are more; 0 means no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_deliveries_per_second: u32,
    /// Limit on the publications that wait for a connection whose output cannot be sent, in KiB
    #[arg(long, value_name = "KIB", default_value_t = 1024, value_parser = at_least_one())]
    pub max_subscriber_queue: usize,
    /// What to do when more would wait: `close` the connection (a WebSocket with 1013), `drop-oldest`, or keep only the
    /// `latest` publication of the topic. PREFIX= sets it for the topics that begin with PREFIX. May be repeated [default:
    /// close]
    #[arg(long, value_name = "[PREFIX=]POLICY", value_parser = slow_subscriber)]
    pub slow_subscriber: Vec<(String, SlowSubscriber)>,
    /// Count the deliveries on topics that begin with PREFIX separately in the metrics. May be repeated
    #[arg(long, value_name = "PREFIX")]
    pub metrics_topics: Vec<String>,
}

impl Topics {
    /// The engine, if there is one.
    ///
    /// # Errors
    ///
    /// A text for the user, if the prefix or the file with the credentials cannot be used.
    pub(super) fn engine(&self) -> Result<Option<Settings>, String> {
        let Some(settings) = self.bus.clone() else {
            return Ok(None);
        };
        let settings = settings
            .with_prefix(&self.bus_prefix)
            .map_err(|invalid| format!("--bus-prefix: {invalid}"))?;
        Ok(Some(Settings {
            credentials: match &self.bus_credentials {
                Some(file) => credentials(file)?,
                None => settings.credentials,
            },
            authorities: self.bus_ca.clone(),
            ..settings
        }))
    }

    /// Bounds on what the bus holds.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            topics: self.max_topics,
            subscriptions: self.max_subscriptions,
            message: self.max_publication_size.saturating_mul(1 << 10),
            history: HistoryLimits {
                topics: self.max_history_topics,
                count: self.max_history_count,
                seconds: self.max_history_age,
                bytes: self.max_history_size.saturating_mul(1 << 20),
            },
            ..Limits::default()
        }
    }

    /// What connections may do with topics.
    pub(super) fn settings(&self) -> TopicSettings {
        let mut history = ByPrefix::all(None);
        for (prefix, keep) in &self.history {
            history.set(prefix, Some(*keep));
        }
        let mut policies = ByPrefix::all(SlowSubscriber::Close);
        for (prefix, policy) in &self.slow_subscriber {
            policies.set(prefix, *policy);
        }
        TopicSettings {
            max_subscriptions: self.max_subscriptions_per_connection,
            max_waiting: self.max_subscriber_queue.saturating_mul(1 << 10),
            slow_subscriber: policies,
            history,
            max_publications_per_second: self.max_publications_per_second,
            max_deliveries_per_second: self.max_deliveries_per_second,
            metrics_prefixes: self.metrics_topics.clone(),
        }
    }
}

/// Reads `NAME:PASSWORD`, or a token; a file of NATS credentials, which has several parts, is read by the client.
fn credentials(file: &PathBuf) -> Result<Credentials, String> {
    let named = |problem: String| format!("--bus-credentials {}: {problem}", file.display());
    let length = fs::metadata(file).map_err(|error| named(error.to_string()))?;
    if length.len() > MAX_SECRET {
        return Err(named("it has more than 64 KiB".to_owned()));
    }
    let text = fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
    let text = text.trim();
    if text.contains("-----BEGIN") {
        return Ok(Credentials::File(file.clone()));
    }
    if text.is_empty() || text.lines().count() > 1 {
        let expected = "expected one line, NAME:PASSWORD or a token, or a NATS credentials file";
        return Err(named(expected.to_owned()));
    }
    Ok(match text.split_once(':') {
        Some((name, password)) if !name.is_empty() => Credentials::Password {
            name: name.to_owned(),
            password: password.to_owned(),
        },
        Some((_, password)) => Credentials::Token(password.to_owned()),
        None => Credentials::Token(text.to_owned()),
    })
}

fn history(text: &str) -> Result<(String, Keep), String> {
    let read = || {
        let (prefix, keep) = text.rsplit_once('=')?;
        let (count, age) = match keep.split_once(',') {
            Some((count, age)) => (count, seconds(age)?),
            None => (keep, u32::MAX),
        };
        let count = count.parse().ok()?;
        let seconds = age;
        Some((prefix.to_owned(), Keep { count, seconds }))
    };
    read()
        .ok_or_else(|| "expected PREFIX=COUNT or PREFIX=COUNT,AGE, such as chat/=50,10m".to_owned())
}

/// A time such as `90s`, `10m`, `2h` or `7d`.
fn seconds(text: &str) -> Option<u32> {
    let (number, factor) = match text.as_bytes().last()? {
        b's' => (text.strip_suffix('s')?, 1),
        b'm' => (text.strip_suffix('m')?, 60),
        b'h' => (text.strip_suffix('h')?, 60 * 60),
        b'd' => (text.strip_suffix('d')?, 24 * 60 * 60),
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(factor)
}

fn slow_subscriber(text: &str) -> Result<(String, SlowSubscriber), String> {
    let (prefix, policy) = text.rsplit_once('=').unwrap_or(("", text));
    let policy = match policy {
        "close" => SlowSubscriber::Close,
        "drop-oldest" => SlowSubscriber::DropOldest,
        "latest" => SlowSubscriber::Latest,
        _ => {
            return Err(
                "expected close, drop-oldest or latest, or one of these for a prefix, such as prices/=latest"
                    .to_owned(),
            );
        }
    };
    Ok((prefix.to_owned(), policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_a_count_and_an_age() {
        let keep = |prefix: &str, count, seconds| Ok((prefix.to_owned(), Keep { count, seconds }));
        assert_eq!(history("chat/=50,10m"), keep("chat/", 50, 600));
        assert_eq!(history("=7,2d"), keep("", 7, 172_800));
        assert_eq!(history("a=b=7"), keep("a=b", 7, u32::MAX));
        for bad in [
            "",
            "chat/",
            "chat/=",
            "chat/=x",
            "chat/=1,",
            "chat/=1,5",
            "a=1,9999999d",
        ] {
            assert!(history(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_policy_may_have_a_prefix() {
        use SlowSubscriber::{DropOldest, Latest};
        assert_eq!(
            slow_subscriber("drop-oldest"),
            Ok((String::new(), DropOldest))
        );
        assert_eq!(
            slow_subscriber("prices/=latest"),
            Ok(("prices/".to_owned(), Latest))
        );
        assert!(slow_subscriber("prices/").is_err() && slow_subscriber("a=").is_err());
    }
}
