//! An app as a component, in the runner's engine.

mod topics;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use wasmtime::component::ResourceAny;
use wasocket::topics::Delivery;
use wasocket::{Closing, ConnectionId, HttpVersion, Initiator, Report, Request, ShutdownReason};
use wasocket_host::bindings as wit;
use wasocket_host::component::{Component, Grants};
use wasocket_host::engine::engine;
use wasocket_host::guest::{Guest, GuestFault, Limits, finish};

use crate::Fault;
use crate::app::{App, Call};
use crate::contract::{
    Answer, Decision, Deliveries, Effects, Handle, LastEffects, PollResult, Response, ResponseHead,
    Takeover, Verdict,
};

/// The runner's memory limit, and ten times its time limits, as a machine that runs tests is busy.
pub(crate) fn limits() -> Limits {
    Limits {
        call_time: Duration::from_secs(1),
        ..Limits::default()
    }
}

/// Loads a component. Each file is loaded once per process, since compiling takes a while.
pub(crate) fn load(path: &Path) -> Result<Arc<Component>, String> {
    static ENGINE: OnceLock<Result<wasmtime::Engine, String>> = OnceLock::new();
    static LOADED: Mutex<Vec<(PathBuf, Arc<Component>)>> = Mutex::new(Vec::new());
    let engine = ENGINE.get_or_init(|| engine().map_err(|error| format!("{error:#}")));
    let engine = engine.as_ref().map_err(Clone::clone)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, component)) = loaded.iter().find(|(own, _)| own == path) {
        return Ok(Arc::clone(component));
    }
    // Apps that call HTTP backends load too; their requests are denied.
    let grants = Grants {
        http: Some(Arc::default()),
        ..Grants::default()
    };
    let component =
        Component::from_file(engine, path, &grants).map_err(|error| error.to_string())?;
    let component = Arc::new(component);
    loaded.push((path.to_owned(), Arc::clone(&component)));
    Ok(component)
}

/// Shows the guests' output in the output of their test. Has no effect if the test has a subscriber of its own.
pub(crate) fn show_output() {
    let _ = tracing_subscriber::fmt()
        .without_time()
        .with_level(false)
        .with_ansi(false)
        .with_test_writer()
        .finish()
        .with(Targets::new().with_target("guest", LevelFilter::INFO))
        .try_init();
}

pub(crate) struct Instances {
    component: Arc<Component>,
    limits: Limits,
    /// The instance. `None` before the first request, and after a fault.
    guest: Option<Guest>,
    resources: HashMap<Handle, ResourceAny>,
    last_handle: u64,
}

impl Instances {
    pub(crate) fn new(component: Arc<Component>, limits: Limits) -> Self {
        Self {
            component,
            limits,
            guest: None,
            resources: HashMap::new(),
            last_handle: 0,
        }
    }

    fn guard<T>(
        &mut self,
        call: impl FnOnce(&mut Guest) -> Result<T, GuestFault>,
    ) -> Result<T, Fault> {
        let guest = match &mut self.guest {
            Some(guest) => Ok(guest),
            None => finish(Guest::new(&self.component, self.limits))
                .map(|guest| self.guest.insert(guest)),
        };
        guest.and_then(call).map_err(|fault| {
            self.guest = None;
            self.resources.clear();
            Fault {
                reason: fault.reason.to_string(),
                backtrace: fault.backtrace.map(|backtrace| backtrace.to_string()),
            }
        })
    }

    fn keep(&mut self, resource: ResourceAny) -> Handle {
        self.last_handle += 1;
        let handle = Handle(self.last_handle);
        self.resources.insert(handle, resource);
        handle
    }

    fn keep_answer(&mut self, answer: wit::Answer, refusal: Option<String>) -> Answer {
        match answer {
            wit::Answer::Respond(response) => Answer::Respond(Response {
                head: response.head.into(),
                body: response.body,
                reason: refusal,
            }),
            wit::Answer::Takeover(takeover) => Answer::Takeover(Takeover {
                response: takeover.response.map(Into::into),
                connection: self.keep(takeover.connection),
                final_bytes: takeover.final_bytes,
            }),
        }
    }

    fn resource(&self, handle: Handle) -> ResourceAny {
        let resource = self.resources.get(&handle).copied();
        resource.unwrap_or_else(|| panic!("the kit calls a connection that is gone"))
    }
}

impl App for Instances {
    fn handle(&mut self, request: &Request) -> Result<Decision, Fault> {
        let request = to_wit(request);
        let decision = self.guard(|guest| finish(guest.handle(&request)))?;
        let verdict = match decision.verdict {
            wit::Verdict::Answer(answer) => {
                Verdict::Answer(self.keep_answer(answer, decision.refusal))
            }
            wit::Verdict::Pending(pending_request) => Verdict::Pending(self.keep(pending_request)),
        };
        Ok(Decision {
            verdict,
            wake_others: decision.wake_others,
            publications: topics::publications(decision.publications),
        })
    }

    fn poll(&mut self, handle: Handle, now: u64, id: ConnectionId) -> Result<PollResult, Fault> {
        let it = self.resource(handle);
        let progress = self.guard(|guest| finish(guest.poll(it, now, id)))?;
        let refusal = progress.refusal;
        let answer = progress.answer;
        Ok(PollResult {
            answer: answer.map(|answer| self.keep_answer(answer, refusal)),
            wake_at: progress.wake_at,
            wake_others: progress.wake_others,
            publications: topics::publications(progress.publications),
        })
    }

    fn drop_pending_request(&mut self, handle: Handle) -> Result<(), Fault> {
        let it = self.resource(handle);
        self.resources.remove(&handle);
        self.guard(|guest| finish(guest.drop_resource(it)))
    }

    fn call(&mut self, handle: Handle, now: u64, call: Call<'_>) -> Result<Effects, Fault> {
        let it = self.resource(handle);
        let effects = self.guard(|guest| match call {
            Call::Open { id, residual } => finish(guest.open(it, now, id, residual)),
            Call::Receive(bytes) => finish(guest.receive(it, now, bytes)),
            Call::ReceiveEof => finish(guest.receive_eof(it, now)),
            Call::Wake { unsent } => finish(guest.wake(it, now, unsent)),
            Call::Shutdown(reason) => finish(guest.shutdown(it, now, reason_to_wit(reason))),
            Call::Tell(event) => finish(guest.tell(it, now, &topics::event(event))),
        })?;
        Ok(topics::effects(effects))
    }

    fn lost(&mut self, handle: Handle, now: u64) -> Result<LastEffects, Fault> {
        let it = self.resource(handle);
        let last = self.guard(|guest| finish(guest.lost(it, now)))?;
        Ok(LastEffects {
            wake_others: last.wake_others,
            publications: topics::publications(last.publications),
        })
    }

    fn deliver(
        &mut self,
        handles: &[Handle],
        now: u64,
        delivery: &Delivery,
    ) -> Result<Deliveries, Fault> {
        let all: Vec<ResourceAny> = handles
            .iter()
            .map(|handle| self.resource(*handle))
            .collect();
        let delivery = topics::delivery(delivery);
        self.guard(|guest| finish(guest.deliver(now, &delivery, &[], &all)))
            .map(topics::deliveries)
    }

    fn report(&mut self, handle: Handle) -> Result<Report, Fault> {
        let it = self.resource(handle);
        self.guard(|guest| finish(guest.report(it))).map(from_wit)
    }

    fn drop_connection(&mut self, handle: Handle) -> Result<(), Fault> {
        let it = self.resource(handle);
        self.resources.remove(&handle);
        self.guard(|guest| finish(guest.drop_resource(it)))
    }
}

fn to_wit(request: &Request) -> wit::Request {
    wit::Request {
        method: request.method.clone(),
        target: request.target.clone(),
        version: match request.version {
            HttpVersion::Http10 => wit::HttpVersion::Http10,
            HttpVersion::Http11 => wit::HttpVersion::Http11,
            HttpVersion::Http2 => wit::HttpVersion::Http2,
            HttpVersion::Http3 => wit::HttpVersion::Http3,
        },
        authority: request.authority.clone(),
        protocol: request.protocol.clone(),
        fields: request.fields.clone().into(),
        secure: request.secure,
        remote: request.remote.clone(),
    }
}

fn from_wit(report: wit::Report) -> Report {
    Report {
        messages_received: report.messages_received,
        messages_sent: report.messages_sent,
        closing: report.closing.map(|closing| Closing {
            initiator: match closing.initiator {
                wit::Initiator::Peer => Initiator::Peer,
                wit::Initiator::App => Initiator::App,
                wit::Initiator::Protocol => Initiator::Protocol,
                wit::Initiator::Host => Initiator::Host,
            },
            code: closing.code,
            reason: closing.reason,
        }),
        fault: report.fault,
    }
}

fn reason_to_wit(reason: ShutdownReason) -> wit::ShutdownReason {
    match reason {
        ShutdownReason::GoingAway => wit::ShutdownReason::GoingAway,
        ShutdownReason::ServiceRestart => wit::ShutdownReason::ServiceRestart,
    }
}

impl From<wit::ResponseHead> for ResponseHead {
    fn from(head: wit::ResponseHead) -> Self {
        Self {
            status: head.status,
            fields: head.fields,
        }
    }
}
