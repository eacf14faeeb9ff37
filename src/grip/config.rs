//! The configuration of a deployment, from environment variables.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::key::{Key, KeyError};

/// How to recognize the proxy, and where to publish messages.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) verify: Verify,
    pub(super) publish: Option<Endpoint>,
}

/// How to verify that a request is from the proxy.
#[derive(Clone, Debug)]
pub(super) enum Verify {
    /// By a token signed with this key, and by this issuer, if there is one.
    Signed { key: Key, issuer: Option<String> },
    /// Nothing is configured: no event is trusted.
    Unconfigured,
    /// Not at all, explicitly.
    Off,
}

/// Where messages are published.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Whether it is reached over TLS.
    pub(super) secure: bool,
    /// Host and port.
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) credentials: Credentials,
}

/// How to authorize publishing at the endpoint.
#[derive(Clone)]
pub(super) enum Credentials {
    None,
    /// The text itself (RFC 6750).
    Bearer(String),
    /// A token that the secret signs.
    Signed {
        issuer: String,
        secret: Vec<u8>,
    },
}

impl fmt::Debug for Credentials {
    /// Does not show the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer",
            Self::Signed { .. } => "Signed",
        })
    }
}

/// The parameters of `GRIP_URL`, whose names are those of other libraries for GRIP.
const PARAMETERS: [&str; 4] = ["iss", "key", "verify-iss", "verify-key"];

impl Config {
    /// Reads the variables:
    ///
    /// - `GRIP_URL`: where to publish, such as `http://127.0.0.1:5561`, `/publish/` is added. May have the
    ///   parameters `verify-key` and `verify-iss`, instead of the variables; `key`, which authorizes
    ///   publishing, either as it is or, with `iss`, as the secret of a signed token (`base64:` for a secret
    ///   that is not text).
    /// - `GRIP_VERIFY_KEY`: the key that verifies `Grip-Sig`; see [`Key::parse`].
    /// - `GRIP_VERIFY_ISS`: the issuer that it must have.
    /// - `GRIP_VERIFY=dangerously-off`: trusts events without `Grip-Sig`. Any client that reaches the
    ///   component can then act for any connection, with any state.
    ///
    /// # Errors
    ///
    /// The variable that is malformed, unknown or set in two ways. Setting nothing is not an error.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let (endpoint, parameters) = match variable("GRIP_URL") {
            Some(url) => parse(&url).map(|(endpoint, own)| (Some(endpoint), own))?,
            None => (None, Vec::new()),
        };
        let parameter = |name: &str| {
            let mut own = parameters.iter();
            own.find_map(|(own, value)| (own == name).then(|| value.clone()))
        };
        let either = |name, own| match (variable(name), parameter(own)) {
            (Some(_), Some(_)) => Err(ConfigError::Twice(name)),
            (said, also) => Ok(said.or(also)),
        };
        let key = either("GRIP_VERIFY_KEY", "verify-key")?;
        let issuer = either("GRIP_VERIFY_ISS", "verify-iss")?;
        let verify = match (variable("GRIP_VERIFY").as_deref(), key) {
            (None, Some(key)) => Verify::Signed {
                key: Key::parse(&key).map_err(ConfigError::VerifyKey)?,
                issuer,
            },
            (None, None) => Verify::Unconfigured,
            (Some("dangerously-off"), None) => Verify::Off,
            (Some("dangerously-off"), Some(_)) => return Err(ConfigError::Twice("GRIP_VERIFY")),
            (Some(_), _) => return Err(ConfigError::Verify),
        };
        let credentials = credentials(parameter("iss"), parameter("key"))?;
        let publish = endpoint.map(|endpoint| Endpoint {
            credentials,
            ..endpoint
        });
        Ok(Self { verify, publish })
    }
}

type Parameters = Vec<(String, String)>;

fn parse(url: &str) -> Result<(Endpoint, Parameters), ConfigError> {
    let (scheme, rest) = url.split_once("://").ok_or(ConfigError::Url)?;
    let secure = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err(ConfigError::Url),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(ConfigError::Url)?;
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    };
    if authority.is_empty() || authority.contains('@') || !is_plain(rest) {
        return Err(ConfigError::Url);
    }
    let parameters: Parameters = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    check(&parameters)?;
    let endpoint = Endpoint {
        secure,
        authority: authority.to_owned(),
        path: path.trim_end_matches('/').to_owned() + "/publish/",
        credentials: Credentials::None,
    };
    Ok((endpoint, parameters))
}

fn check(parameters: &Parameters) -> Result<(), ConfigError> {
    for (i, (name, _)) in parameters.iter().enumerate() {
        let known = PARAMETERS.iter().find(|own| *own == name);
        let known = known.ok_or_else(|| ConfigError::Parameter(name.clone()))?;
        if parameters.iter().take(i).any(|(before, _)| before == name) {
            return Err(ConfigError::Twice(known));
        }
    }
    Ok(())
}

fn credentials(issuer: Option<String>, key: Option<String>) -> Result<Credentials, ConfigError> {
    let Some(key) = key else {
        return match issuer {
            Some(_) => Err(ConfigError::IssuerAlone),
            None => Ok(Credentials::None),
        };
    };
    let Some(issuer) = issuer else {
        // RFC 6750 §2.1: the token must not contain bytes that would end the field.
        return match key.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Credentials::Bearer(key)),
            false => Err(ConfigError::Key),
        };
    };
    match Key::parse(&key) {
        Ok(Key::Hs256(secret)) => Ok(Credentials::Signed { issuer, secret }),
        _ => Err(ConfigError::Key),
    }
}

/// Why the variables cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// `GRIP_URL` is not a valid URL.
    Url,
    /// `GRIP_URL` has an unknown parameter.
    Parameter(String),
    /// This is set in two ways.
    Twice(&'static str),
    /// `GRIP_VERIFY` is something other than `dangerously-off`.
    Verify,
    /// The key to verify with.
    VerifyKey(KeyError),
    /// `iss` without `key`.
    IssuerAlone,
    /// `key` is not a secret, or cannot be sent in a field.
    Key,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => {
                "GRIP_URL: write http://HOST:PORT or https://HOST/PATH, with parameters after ?"
            }
            Self::Parameter(name) => {
                return write!(
                    f,
                    "GRIP_URL has the parameter {name:?}: there are {}",
                    PARAMETERS.join(", ")
                );
            }
            Self::Twice(name) => return write!(f, "{name} is set in two ways: leave one out"),
            Self::Verify => "GRIP_VERIFY: leave it out, or write dangerously-off",
            Self::VerifyKey(error) => {
                return f.write_str(
                    &("the key to verify Grip-Sig with: ".to_owned() + &error.to_string()),
                );
            }
            Self::IssuerAlone => "GRIP_URL has iss, but no key to sign with",
            Self::Key => "GRIP_URL: key is the secret that the proxy has, or an API token",
        })
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|name| {
            let mut own = variables.iter();
            own.find_map(|(own, value)| (*own == name).then(|| (*value).into()))
        })
    }

    fn url(url: &str) -> Result<Config, ConfigError> {
        read(&[("GRIP_URL", url)])
    }

    #[test]
    fn trusts_nothing_without_a_key() {
        let config = read(&[]).expect("no error");
        assert!(matches!(config.verify, Verify::Unconfigured) && config.publish.is_none());
        let off = read(&[("GRIP_VERIFY", "dangerously-off")]).expect("a configuration");
        assert!(matches!(off.verify, Verify::Off));
    }

    #[test]
    fn keys_in_either_place() {
        let variables = [("GRIP_VERIFY_KEY", "k"), ("GRIP_VERIFY_ISS", "i")];
        for config in [
            read(&variables),
            url("http://127.0.0.1:5561/?verify-key=k&verify-iss=i"),
        ] {
            let Ok(Verify::Signed {
                key: Key::Hs256(key),
                issuer,
            }) = config.map(|config| config.verify)
            else {
                panic!("a secret");
            };
            assert_eq!((&*key, issuer.as_deref()), (&b"k"[..], Some("i")));
        }
    }

    #[test]
    fn endpoints() {
        for (text, secure, authority, path) in [
            (
                "http://127.0.0.1:5561",
                false,
                "127.0.0.1:5561",
                "/publish/",
            ),
            ("http://[::1]:5561/", false, "[::1]:5561", "/publish/"),
            (
                "https://api.test/service/1?key=t",
                true,
                "api.test",
                "/service/1/publish/",
            ),
        ] {
            let endpoint = url(text).expect("a configuration").publish.expect("one");
            assert_eq!(
                (endpoint.secure, &*endpoint.authority, &*endpoint.path),
                (secure, authority, path)
            );
        }
    }

    #[test]
    fn credentials_are_a_token_or_sign_one() {
        let of = |text| {
            url(text)
                .expect("a configuration")
                .publish
                .expect("one")
                .credentials
        };
        assert!(matches!(of("http://a.test"), Credentials::None));
        assert!(matches!(of("http://a.test?key=t"), Credentials::Bearer(token) if token == "t"));
        assert!(matches!(
            of("http://a.test?iss=i&key=base64:AP8="),
            Credentials::Signed { issuer, secret } if issuer == "i" && secret == b"\0\xff"
        ));
    }

    #[test]
    fn refuses_invalid_variables() {
        for (text, error) in [
            ("127.0.0.1:5561", ConfigError::Url),
            ("ws://a.test", ConfigError::Url),
            ("http://", ConfigError::Url),
            ("http:///publish", ConfigError::Url),
            ("http://user@a.test", ConfigError::Url),
            ("http://a b", ConfigError::Url),
            ("http://a.test/#x", ConfigError::Url),
            (
                "http://a.test?verify_key=k",
                ConfigError::Parameter("verify_key".into()),
            ),
            ("http://a.test?key=k&key=k", ConfigError::Twice("key")),
            ("http://a.test?iss=i", ConfigError::IssuerAlone),
            ("http://a.test?key=a%0ab", ConfigError::Key),
            ("http://a.test?iss=i&key=base64:!", ConfigError::Key),
            (
                "http://a.test?verify-key=",
                ConfigError::VerifyKey(KeyError::Empty),
            ),
        ] {
            assert_eq!(url(text).err(), Some(error), "{text}");
        }
        for (variables, error) in [
            ([("GRIP_VERIFY", "off"), ("", "")], ConfigError::Verify),
            (
                [("GRIP_VERIFY", "dangerously-off"), ("GRIP_VERIFY_KEY", "k")],
                ConfigError::Twice("GRIP_VERIFY"),
            ),
            (
                [
                    ("GRIP_URL", "http://a.test?verify-key=k"),
                    ("GRIP_VERIFY_KEY", "k"),
                ],
                ConfigError::Twice("GRIP_VERIFY_KEY"),
            ),
        ] {
            assert_eq!(read(&variables).err(), Some(error));
        }
    }
}
