use alloc::boxed::Box;
use core::fmt;

use crate::head::{Response, ResponseHead};
use crate::session::{RawHandler, RawSession, Session};

/// What an app answers to a request.
#[derive(Debug)]
pub enum Answer {
    /// Plain HTTP.
    Respond(Response),
    /// The socket becomes the app's.
    Takeover(Takeover),
}

/// A socket taken over.
pub struct Takeover {
    /// The head that the host sends first; none for a raw takeover.
    pub response: Option<ResponseHead>,
    /// What receives the bytes of the socket.
    pub session: Box<dyn Session>,
    /// What the host writes if the component dies.
    pub farewell: &'static [u8],
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Takeover")
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Takes the raw socket over: no response is sent, and every byte in both directions is the
    /// handler's. This is what Go's `http.Hijacker` does.
    #[must_use]
    pub fn takeover(handler: impl RawHandler + 'static) -> Self {
        Self::Takeover(Takeover {
            response: None,
            session: Box::new(RawSession::new(handler)),
            farewell: &[],
        })
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Respond(response)
    }
}
