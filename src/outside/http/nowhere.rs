//! Without a host, every request fails.

use bytes::Bytes;

use super::{Error, RequestBuilder, Url};
use crate::head::Fields;

pub(super) enum Body {}

#[allow(clippy::unused_async, reason = "as with a host")]
pub(super) async fn send(
    _request: &RequestBuilder,
    _url: &Url,
) -> Result<(u16, Fields, Body), Error> {
    Err(Error::Unavailable)
}

impl Body {
    #[allow(clippy::unused_async, reason = "as with a host")]
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match *self {}
    }
}
