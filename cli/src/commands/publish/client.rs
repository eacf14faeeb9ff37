//! One connection to an admin endpoint.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::spawn_local;
use tokio::time::timeout;
use wasocket_host::net::dial::transport::Route;
use wasocket_host::net::stream::Stream;

use super::PublishFailure;
use super::args::{Publish, Server};

/// The most of an answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// A connection on which publications go out, one after the other.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// The request-target of the topic.
    target: String,
    host: String,
    content_type: &'static str,
    authorization: Option<String>,
    timeout: Duration,
}

impl Client {
    /// Connects. Must be called within a local runtime.
    pub(super) async fn connect(
        options: &Publish,
        token: Option<String>,
    ) -> Result<Self, PublishFailure> {
        let (stream, host, base) = open(options).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It fails with the request that it carries.
        spawn_local(async { drop(connection.await) });
        Ok(Self {
            sender,
            target: format!(
                "{}/topics/{}",
                base.trim_end_matches('/'),
                encoded(&options.topic)
            ),
            host,
            content_type: if options.binary {
                "application/octet-stream"
            } else {
                "text/plain; charset=utf-8"
            },
            authorization: token.map(|token| format!("Bearer {token}")),
            timeout: Duration::from_secs(options.timeout),
        })
    }

    /// Publishes a message, and waits for the answer.
    pub(super) async fn publish(&mut self, message: Bytes) -> Result<(), PublishFailure> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.target)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, self.content_type);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(message))?;
        let answered = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await;
            let text = body.map(|body| body.to_bytes()).unwrap_or_default();
            Ok((status, String::from_utf8_lossy(&text).trim().to_owned()))
        };
        let answer = timeout(self.timeout, answered).await;
        match answer.map_err(|_| PublishFailure::TimedOut(self.timeout))? {
            Ok((StatusCode::ACCEPTED, _)) => Ok(()),
            Ok((status, text)) => Err(PublishFailure::Refused(status, text)),
            Err(error) => Err(PublishFailure::Http(error)),
        }
    }
}

/// A transport to the server, its `Host`, and the path that its own paths follow.
async fn open(options: &Publish) -> Result<(Box<dyn Stream>, String, String), PublishFailure> {
    let url = match &options.server {
        Server::Url(url) => url,
        Server::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            let stream = stream.map_err(|error| PublishFailure::Unix(path.clone(), error))?;
            return Ok((Box::new(stream), "localhost".to_owned(), String::new()));
        }
    };
    let route = Route {
        url,
        connect_to: None,
        proxy: None,
        insecure: options.insecure,
        timeout: Duration::from_secs(options.timeout),
        may_reach: |_| true,
    };
    let stream = route.open().await?;
    Ok((stream, url.authority.clone(), url.target.clone()))
}

/// A topic in a path: everything but letters, digits and `-._~/` is percent-encoded.
fn encoded(topic: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'/');
    percent_encoding::utf8_percent_encode(topic, KEPT).to_string()
}
