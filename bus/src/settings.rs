//! Which engine, and how to reach it.

use std::fmt;
use std::path::PathBuf;

/// The prefix of everything that the bus stores at an engine, unless another one is chosen.
pub const DEFAULT_PREFIX: &str = "wasocket";

/// The longest prefix, in bytes.
pub const MAX_PREFIX: usize = 64;

/// Which engine, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which kind of server it is.
    pub kind: EngineKind,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// Its name, which TLS verifies, or its address; of IPv6, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who we are.
    pub credentials: Credentials,
    /// The number of the database (Redis only).
    pub database: u32,
    /// What the names of everything that the bus uses at the engine begin with: ASCII letters, digits, `-` and `_`.
    pub prefix: String,
    /// PEM certificates of authorities to trust instead of the system's.
    pub authorities: Option<PathBuf>,
}

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// NATS, with JetStream.
    Nats,
    /// Redis, or what speaks its protocol.
    Redis,
}

/// Who the runner is, for the engine.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// The engine does not ask.
    #[default]
    None,
    /// A token (NATS), or a password without a name (Redis).
    Token(String),
    /// A name and a password.
    Password {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// A file of NATS credentials.
    File(PathBuf),
}

/// A text that is not the URL of an engine, or a prefix that cannot be one; says what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSettings(String);

impl Settings {
    /// Reads `nats://`, `tls://`, `redis://` or `rediss://`, then `[NAME[:PASSWORD]@]HOST[:PORT][/DATABASE]`. The name and
    /// the password may be percent-encoded. A NATS user without password is a token.
    ///
    /// # Errors
    ///
    /// If the URL is none of these.
    pub fn from_url(url: &str) -> Result<Self, InvalidSettings> {
        let (scheme, rest) = url.split_once("://").ok_or_else(no_scheme)?;
        let (kind, tls) = match scheme {
            "nats" => (EngineKind::Nats, false),
            "tls" => (EngineKind::Nats, true),
            "redis" => (EngineKind::Redis, false),
            "rediss" => (EngineKind::Redis, true),
            _ => return Err(no_scheme()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let (host, port) = split_address(address, kind)?;
        Ok(Self {
            kind,
            tls,
            host,
            port,
            credentials: user.map_or(Ok(Credentials::None), credentials)?,
            database: database(path, kind)?,
            prefix: DEFAULT_PREFIX.to_owned(),
            authorities: None,
        })
    }

    /// These settings with another prefix.
    ///
    /// # Errors
    ///
    /// If it is empty, longer than [`MAX_PREFIX`], or has other characters than ASCII letters, digits, `-` and `_`.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, InvalidSettings> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if prefix.is_empty() || prefix.len() > MAX_PREFIX || !prefix.bytes().all(allowed) {
            return Err(InvalidSettings(format!(
                "a prefix has 1 to {MAX_PREFIX} characters, all of them ASCII letters, digits, `-` or `_`"
            )));
        }
        let prefix = prefix.to_owned();
        Ok(Self { prefix, ..self })
    }
}

fn no_scheme() -> InvalidSettings {
    invalid(
        "expected a URL that begins with nats://, tls:// (NATS over TLS), redis:// or rediss://",
    )
}

fn invalid(text: &str) -> InvalidSettings {
    InvalidSettings(text.to_owned())
}

fn split_address(address: &str, kind: EngineKind) -> Result<(String, u16), InvalidSettings> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .ok_or_else(|| invalid("the IPv6 address has no closing bracket"))?,
        None => address
            .find(':')
            .map_or((address, ""), |at| address.split_at(at)),
    };
    if host.is_empty() {
        return Err(invalid("the URL names no host"));
    }
    let port = match port.strip_prefix(':') {
        Some(port) => port
            .parse()
            .map_err(|_| invalid("the port is not a number from 0 to 65535"))?,
        None if port.is_empty() => kind.default_port(),
        None => return Err(invalid("expected `:PORT` behind the IPv6 address")),
    };
    Ok((host.to_owned(), port))
}

fn credentials(user: &str) -> Result<Credentials, InvalidSettings> {
    let Some((name, password)) = user.split_once(':') else {
        return Ok(Credentials::Token(decode(user)?));
    };
    let (name, password) = (decode(name)?, decode(password)?);
    Ok(if name.is_empty() {
        Credentials::Token(password)
    } else {
        Credentials::Password { name, password }
    })
}

fn database(path: &str, kind: EngineKind) -> Result<u32, InvalidSettings> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Ok(0);
    }
    if kind == EngineKind::Nats {
        return Err(invalid("the URL of a NATS server has no path"));
    }
    path.parse()
        .map_err(|_| invalid("what follows the host is not the number of a database"))
}

/// Percent-decodes.
fn decode(text: &str) -> Result<String, InvalidSettings> {
    let bad = || invalid("the name or password is not percent-encoded UTF-8: write `%` as %25");
    let mut decoded = vec![];
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(bytes.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let (high, low) = digit().zip(digit()).ok_or_else(bad)?;
        decoded.push(high << 4 | low);
    }
    String::from_utf8(decoded).map_err(|_| bad())
}

impl EngineKind {
    fn default_port(self) -> u16 {
        match self {
            Self::Nats => 4222,
            Self::Redis => 6379,
        }
    }
}

/// Where the engine is, without credentials: fit for logs.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.kind, self.tls) {
            (EngineKind::Nats, false) => "nats",
            (EngineKind::Nats, true) => "tls",
            (EngineKind::Redis, false) => "redis",
            (EngineKind::Redis, true) => "rediss",
        };
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

/// Without credentials.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({self}, prefix {})", self.prefix)
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidSettings {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Settings {
        Settings::from_url(url).unwrap()
    }

    #[test]
    fn the_scheme_chooses_kind_tls_and_port() {
        for (url, kind, tls, port) in [
            ("nats://a", EngineKind::Nats, false, 4222),
            ("tls://a:1", EngineKind::Nats, true, 1),
            ("redis://a", EngineKind::Redis, false, 6379),
            ("rediss://[::1]:7", EngineKind::Redis, true, 7),
        ] {
            let read = read(url);
            assert_eq!((read.kind, read.tls, read.port), (kind, tls, port), "{url}");
        }
        assert_eq!(read("redis://[::1]").host, "::1");
        assert_eq!(read("redis://a/3").database, 3);
    }

    #[test]
    fn credentials_are_decoded_and_not_shown() {
        let settings = read("redis://me:p%40ss%3A@a");
        let expected = Credentials::Password {
            name: "me".to_owned(),
            password: "p@ss:".to_owned(),
        };
        assert!(settings.credentials == expected);
        assert!(read("nats://token@a").credentials == Credentials::Token("token".to_owned()));
        assert!(read("redis://:secret@a").credentials == Credentials::Token("secret".to_owned()));
        assert!(!format!("{settings} {settings:?}").contains("ss:"));
    }

    #[test]
    fn what_is_no_engine_is_refused() {
        for url in [
            "",
            "a",
            "http://a",
            "nats://",
            "nats://a:x",
            "nats://a/1",
            "redis://a/x",
            "redis://[::1",
            "redis://[::1]x",
            "redis://%zz@a",
            "nats://%ff@a",
        ] {
            assert!(Settings::from_url(url).is_err(), "{url}");
        }
        assert!(read("nats://a").with_prefix("a.b").is_err());
        assert_eq!(read("nats://a").with_prefix("a-b").unwrap().prefix, "a-b");
    }
}
