//! Offers and responses (RFC 7692 §5, §7.1).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use super::{DeflateOptions, WindowBits};
use crate::protocol::extension::{Extension, Param};
use crate::protocol::{Reader, ResumeError, Writer};

/// The registered name of the extension (RFC 7692 §8.1).
pub const NAME: &str = "permessage-deflate";

const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The agreement of both sides. The default is the one that an offer without parameters asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Whether the server compresses each message by itself.
    pub server_no_context_takeover: bool,
    /// Whether the client compresses each message by itself.
    pub client_no_context_takeover: bool,
    /// The largest window that the server compresses with.
    pub server_max_window_bits: WindowBits,
    /// The largest window that the client compresses with.
    pub client_max_window_bits: WindowBits,
}

impl Default for Agreed {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: WindowBits::MAX,
            client_max_window_bits: WindowBits::MAX,
        }
    }
}

impl Agreed {
    pub(super) fn suspend(self, state: &mut Writer) {
        state.byte(u8::from(self.server_no_context_takeover));
        state.byte(u8::from(self.client_no_context_takeover));
        state.byte(self.server_max_window_bits.get());
        state.byte(self.client_max_window_bits.get());
    }

    pub(super) fn resume(state: &mut Reader<'_>) -> Result<Self, ResumeError> {
        let window = |bits| WindowBits::new(bits).ok_or(ResumeError::Invalid);
        Ok(Self {
            server_no_context_takeover: state.flag()?,
            client_no_context_takeover: state.flag()?,
            server_max_window_bits: window(state.byte()?)?,
            client_max_window_bits: window(state.byte()?)?,
        })
    }

    /// The same with the sides exchanged.
    pub(super) const fn mirrored(self) -> Self {
        Self {
            server_no_context_takeover: self.client_no_context_takeover,
            client_no_context_takeover: self.server_no_context_takeover,
            server_max_window_bits: self.client_max_window_bits,
            client_max_window_bits: self.server_max_window_bits,
        }
    }
}

/// A response that does not answer what the client offered. The client "MUST _Fail the WebSocket
/// Connection_" (RFC 6455 §4.1, RFC 7692 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// An extension that was not offered.
    NotOffered,
    /// More than one permessage-deflate.
    Repeated,
    /// A parameter that is unknown or repeated, or has an illegal value.
    InvalidParameter,
    /// A restriction that the client asked for is missing, or is weaker.
    NotHonoured,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOffered => "the server uses an extension that was not offered",
            Self::Repeated => "the server uses permessage-deflate twice",
            Self::InvalidParameter => "the server's parameters of permessage-deflate are illegal",
            Self::NotHonoured => "the server does not honour the offer of permessage-deflate",
        })
    }
}

impl core::error::Error for ResponseError {}

/// The server's side: accepts the first offer of permessage-deflate that it can. Returns the agreement and
/// the value of the response's field. `None` if no offer is acceptable, which is no reason to refuse the
/// connection: the response then goes without this extension.
#[must_use]
pub fn accept_offers(
    offers: &[Extension<'_>],
    options: &DeflateOptions,
) -> Option<(Agreed, String)> {
    // RFC 7692 §5: "An element preceding another element has higher preference."
    offers
        .iter()
        .filter(|offer| offer.name == NAME)
        .filter_map(Parameters::read)
        .find_map(|offer| accept(offer, options))
}

/// The client's side: the value of the request's field.
#[must_use]
pub fn offer(options: &DeflateOptions) -> String {
    let below_max = |bits: WindowBits| (bits < WindowBits::MAX).then_some(bits);
    Parameters {
        server_no_context_takeover: options.server_no_context_takeover,
        client_no_context_takeover: options.client_no_context_takeover,
        server_max_window_bits: below_max(options.server_max_window_bits),
        // §7.1.2.2: without it the server may not limit the client's window.
        client_max_window_bits: Some(below_max(options.client_max_window_bits)),
    }
    .to_string()
}

/// The client's side: checks the extensions of a response to [`offer`] with the same options. `None` if the
/// server declined.
///
/// # Errors
///
/// The rule that the response breaks. The client must not use the connection.
pub fn check_response(
    extensions: &[Extension<'_>],
    options: &DeflateOptions,
) -> Result<Option<Agreed>, ResponseError> {
    let extension = match extensions {
        [] => return Ok(None),
        // RFC 6455 §4.1: "the use of an extension that was not present in the client's handshake".
        _ if extensions.iter().any(|own| own.name != NAME) => {
            return Err(ResponseError::NotOffered);
        }
        [extension] => extension,
        _ => return Err(ResponseError::Repeated),
    };
    let response = Parameters::read(extension).ok_or(ResponseError::InvalidParameter)?;
    let client_bits = match response.client_max_window_bits {
        None => WindowBits::MAX,
        // RFC 7692 §7.1.2.2: in a response the parameter has a value.
        Some(bits) => bits.ok_or(ResponseError::InvalidParameter)?,
    };
    // §7.1.2.1: a server accepts the limit by "the same or smaller value" in the response.
    let server_bits = response.server_max_window_bits.unwrap_or(WindowBits::MAX);
    // §7.1.1.1: a server accepts server_no_context_takeover "by including" it in the response.
    let keeps_context = !response.server_no_context_takeover;
    if server_bits > options.server_max_window_bits
        || (keeps_context && options.server_no_context_takeover)
    {
        return Err(ResponseError::NotHonoured);
    }
    Ok(Some(Agreed {
        server_no_context_takeover: response.server_no_context_takeover,
        // §7.1.1.2, §7.1.2.2: what the client offered of its own holds "even if the server doesn't
        // include" it.
        client_no_context_takeover: response.client_no_context_takeover
            || options.client_no_context_takeover,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits.min(options.client_max_window_bits),
    }))
}

fn accept(offer: Parameters, options: &DeflateOptions) -> Option<(Agreed, String)> {
    // RFC 7692 §7.1.2.2: "If a received extension negotiation offer doesn't have the
    // "client_max_window_bits" extension parameter, the corresponding extension negotiation response
    // [...] MUST NOT include" it, so such a client cannot be limited.
    let client_bits = match offer.client_max_window_bits {
        None if options.client_max_window_bits < WindowBits::MAX => return None,
        None => WindowBits::MAX,
        Some(hint) => hint
            .unwrap_or(WindowBits::MAX)
            .min(options.client_max_window_bits),
    };
    let response = Parameters {
        // §7.1.1.1: the server may include it unasked, and must include it when asked.
        server_no_context_takeover: offer.server_no_context_takeover
            || options.server_no_context_takeover,
        // §7.1.1.2: likewise. If the client hints that it will not use context takeover, the response holds
        // it to that.
        client_no_context_takeover: offer.client_no_context_takeover
            || options.client_no_context_takeover,
        // §7.1.2.1: "the same or smaller value as the offer". The server may include it unasked, but Firefox
        // then fails the connection; a smaller window needs no announcement.
        server_max_window_bits: offer
            .server_max_window_bits
            .map(|bits| bits.min(options.server_max_window_bits)),
        client_max_window_bits: (client_bits < WindowBits::MAX).then_some(Some(client_bits)),
    };
    let agreed = Agreed {
        server_no_context_takeover: response.server_no_context_takeover,
        client_no_context_takeover: response.client_no_context_takeover,
        server_max_window_bits: response
            .server_max_window_bits
            .unwrap_or(options.server_max_window_bits),
        client_max_window_bits: client_bits,
    };
    Some((agreed, response.to_string()))
}

/// The parameters of an offer or a response.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<WindowBits>,
    /// In an offer it may have no value.
    client_max_window_bits: Option<Option<WindowBits>>,
}

impl Parameters {
    /// `None` for what RFC 7692 §7.1 requires to be declined: a parameter that is not defined, "an extension
    /// parameter with an invalid value", "multiple extension parameters with the same name".
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut own = Self::default();
        for Param { name, value } in &extension.params {
            let value = value.as_deref();
            let bits = value.map(WindowBits::parse);
            let is_repeated = match *name {
                SERVER_NO_CONTEXT_TAKEOVER if value.is_none() => {
                    mem::replace(&mut own.server_no_context_takeover, true)
                }
                CLIENT_NO_CONTEXT_TAKEOVER if value.is_none() => {
                    mem::replace(&mut own.client_no_context_takeover, true)
                }
                SERVER_MAX_WINDOW_BITS => own.server_max_window_bits.replace(bits??).is_some(),
                CLIENT_MAX_WINDOW_BITS => {
                    let bits = match bits {
                        Some(bits) => Some(bits?),
                        None => None,
                    };
                    own.client_max_window_bits.replace(bits).is_some()
                }
                _ => return None,
            };
            if is_repeated {
                return None;
            }
        }
        Some(own)
    }
}

/// The field's value.
impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut params = Vec::with_capacity(4);
        let mut push = |name, value: Option<WindowBits>| {
            let value = value.map(|bits| bits.get().to_string().into());
            params.push(Param { name, value });
        };
        if self.server_no_context_takeover {
            push(SERVER_NO_CONTEXT_TAKEOVER, None);
        }
        if self.client_no_context_takeover {
            push(CLIENT_NO_CONTEXT_TAKEOVER, None);
        }
        if self.server_max_window_bits.is_some() {
            push(SERVER_MAX_WINDOW_BITS, self.server_max_window_bits);
        }
        if let Some(bits) = self.client_max_window_bits {
            push(CLIENT_MAX_WINDOW_BITS, bits);
        }
        let extension = Extension { name: NAME, params };
        extension.fmt(f)
    }
}

#[cfg(test)]
mod tests;
