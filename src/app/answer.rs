use alloc::boxed::Box;
use core::fmt;

use crate::head::{Response, ResponseHead};
use crate::session::{RawHandler, RawSession, Session};

/// An app's answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// Plain HTTP.
    Respond(Response),
    /// The app takes over the socket.
    Takeover(Takeover),
}

/// A taken-over socket.
pub struct Takeover {
    /// The head that the host sends first; `None` for a raw takeover.
    pub response: Option<ResponseHead>,
    /// The session that receives the bytes of the socket.
    pub session: Box<dyn Session>,
    /// The bytes that the host writes if the component dies.
    pub final_bytes: &'static [u8],
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Takeover")
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Takes over the raw socket: no response is sent, and the handler owns every byte in both directions, as
    /// with Go's `http.Hijacker`.
    #[must_use]
    pub fn takeover(handler: impl RawHandler + 'static) -> Self {
        Self::Takeover(Takeover {
            response: None,
            session: Box::new(RawSession::new(handler)),
            final_bytes: &[],
        })
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Respond(response)
    }
}
