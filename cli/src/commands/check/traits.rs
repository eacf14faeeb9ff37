//! What the component negotiates, as some vectors need a certain configuration.

use wasocket_vectors::Fields;

use super::frames;
use super::report::Failure;
use super::subject::{Subject, fields, request};
use super::trial::Trial;

/// For each assumption of the vectors, why it does not hold here.
pub(crate) struct Traits {
    pub(crate) subprotocols: Result<(), String>,
    pub(crate) deflate: Result<(), String>,
    pub(crate) same_origin: Result<(), String>,
    pub(crate) echo: Result<(), String>,
    pub(crate) message_limit: Result<(), String>,
    /// The status of a request to the path that is not a handshake.
    pub(crate) plain: Option<u16>,
}

/// The path does not lead to a WebSocket.
pub(crate) enum NoWebSocket {
    /// It answers with this status; `None` means a raw takeover.
    Status(Option<u16>),
    Failure(Failure),
}

/// The extension that the vectors expect if a client offers just `permessage-deflate`.
const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

impl Traits {
    /// Probes the component.
    ///
    /// # Errors
    ///
    /// If a valid opening handshake does not open a WebSocket.
    pub(crate) fn find(subject: &mut Subject) -> Result<Self, NoWebSocket> {
        let (status, _) = answer(subject, &[]).map_err(NoWebSocket::Failure)?;
        if status != Some(101) {
            return Err(NoWebSocket::Status(status));
        }
        Self::ask(subject).map_err(NoWebSocket::Failure)
    }

    fn ask(subject: &mut Subject) -> Result<Self, Failure> {
        let host = fields(&[("Host", "a.test")]);
        let plain = request("GET", subject.path(), host);
        let plain = subject.answer(&plain);
        let plain = plain.map_err(|fault| Trial::new(subject).fault(&fault))?.0;
        let echo = frames::echoes(subject);
        Ok(Self {
            subprotocols: subprotocols(subject)?,
            deflate: deflate(subject)?,
            same_origin: same_origin(subject)?,
            message_limit: frames::has_the_limit(subject, echo.is_ok()),
            echo,
            plain,
        })
    }
}

type Answer = (Option<u16>, Fields);

fn answer(subject: &mut Subject, further: &[(&str, &str)]) -> Result<Answer, Failure> {
    let request = subject.handshake(further);
    let answer = subject.answer(&request);
    answer.map_err(|fault| {
        let mut trial = Trial::new(subject);
        trial.tell(&format!("an opening handshake with {further:?}"));
        trial.fault(&fault)
    })
}

fn value(fields: &Fields, name: &str) -> Option<String> {
    let found = fields
        .iter()
        .find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

fn subprotocols(subject: &mut Subject) -> Result<Result<(), String>, Failure> {
    for (offer, selected) in [("superchat, chat", "chat"), ("superchat", "superchat")] {
        let (_, fields) = answer(subject, &[("Sec-WebSocket-Protocol", offer)])?;
        if value(&fields, "Sec-WebSocket-Protocol").as_deref() != Some(selected) {
            let reason = "it does not speak the subprotocols chat and superchat, in this order";
            return Ok(Err(reason.to_owned()));
        }
    }
    Ok(Ok(()))
}

fn deflate(subject: &mut Subject) -> Result<Result<(), String>, Failure> {
    let offer = ("Sec-WebSocket-Extensions", "permessage-deflate");
    let (_, fields) = answer(subject, &[offer])?;
    Ok(match value(&fields, "Sec-WebSocket-Extensions") {
        None => Err("it declines permessage-deflate".to_owned()),
        Some(agreed) if agreed == DEFLATE => Ok(()),
        Some(agreed) => Err(format!("it negotiates other parameters: {agreed}")),
    })
}

fn same_origin(subject: &mut Subject) -> Result<Result<(), String>, Failure> {
    let (status, _) = answer(subject, &[("Origin", "http://evil.test")])?;
    if status == Some(101) {
        return Ok(Err("it accepts browsers of other origins".to_owned()));
    }
    let (status, _) = answer(subject, &[("Origin", "http://a.test")])?;
    Ok(match status {
        Some(101) => Ok(()),
        _ => Err("it rejects browsers of its own origin".to_owned()),
    })
}
