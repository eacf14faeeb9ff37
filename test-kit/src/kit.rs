use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use wasocket::{Instant, ShutdownReason};

use crate::app::App;
use crate::app::native::Native;
use crate::host::client::Client;
use crate::host::{Breach, Host, Outcome};
use crate::request::{Handshake, RequestBuilder, get};
use crate::{Connection, Fault, Response, Socket};

/// A host with one instance of an app, and a clock that stands still until [`pass`](Self::pass).
///
/// Whatever the test does, the app is called until it rests before the function returns. If the app fails or
/// breaks the contract, the function panics; [`attempt`](Self::attempt) is for tests in which it should fail. A
/// new instance follows a failed one.
#[derive(Clone)]
pub struct Kit(Rc<Shared>);

struct Shared {
    host: RefCell<Host>,
    /// The number of attempts under way.
    attempts: Cell<usize>,
}

/// The app's answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// Plain HTTP.
    Response(Response),
    /// It takes the socket over.
    Takeover(Socket),
}

impl Kit {
    /// A kit for an app without WebAssembly: the value that `wasocket::export!` takes.
    ///
    /// The kit treats a panic of the app as a trap of a component, except that whatever the app keeps outside of
    /// its connections outlives it.
    pub fn native(app: impl wasocket::App + 'static) -> Self {
        Self::of(Native::new(app))
    }

    /// A kit for the component in a file. An instance may take the 64 MiB of memory that the runner
    /// gives, and a call a second.
    ///
    /// # Panics
    ///
    /// When the file is no component of the world `handler`.
    #[cfg(feature = "component")]
    #[track_caller]
    pub fn component(file: impl AsRef<std::path::Path>) -> Self {
        Self::component_within(file, crate::app::component::limits())
    }

    /// Like [`component`](Self::component), within other limits.
    ///
    /// # Panics
    ///
    /// As [`component`](Self::component).
    #[cfg(feature = "component")]
    #[track_caller]
    pub fn component_within(
        file: impl AsRef<std::path::Path>,
        limits: wasocket_host::guest::Limits,
    ) -> Self {
        let file = file.as_ref();
        match crate::app::component::load(file) {
            Ok(component) => {
                crate::app::component::show_output();
                Self::of(crate::app::component::Instances::new(component, limits))
            }
            Err(error) => panic!("{} cannot be tested: {error}", file.display()),
        }
    }

    fn of(app: impl App + 'static) -> Self {
        Self(Rc::new(Shared {
            host: RefCell::new(Host::new(Box::new(app))),
            attempts: Cell::new(0),
        }))
    }

    /// The current time. It begins at zero.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.host.borrow().now()
    }

    /// Lets time pass. The app is woken at each instant that it asked for, in order.
    #[track_caller]
    pub fn pass(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.with(|host| host.pass(nanoseconds));
    }

    /// Sends a request that is answered with plain HTTP.
    ///
    /// # Panics
    ///
    /// When the app takes the socket over.
    #[track_caller]
    pub fn request(&self, request: impl Into<RequestBuilder>) -> Response {
        match self.answer(request) {
            Answer::Response(response) => response,
            Answer::Takeover(_) => panic!("expected a response, but the app takes the socket over"),
        }
    }

    /// Sends a GET that is answered with plain HTTP: short for [`request`](Self::request).
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.request(get(target))
    }

    /// Sends a request by which the app takes the raw socket over, or any other takeover whose bytes
    /// matter: no client understands them.
    ///
    /// # Panics
    ///
    /// When the app answers with plain HTTP.
    #[track_caller]
    pub fn take_over(&self, request: impl Into<RequestBuilder>) -> Socket {
        match self.answer(request) {
            Answer::Takeover(socket) => socket,
            Answer::Response(response) => {
                panic!("expected a takeover, got {}", response.describe())
            }
        }
    }

    /// Sends a request.
    #[track_caller]
    pub fn answer(&self, request: impl Into<RequestBuilder>) -> Answer {
        let (request, residual) = request.into().into_parts();
        match self.with(|host| host.request(&request, &residual, None)) {
            Outcome::Response(response) => Answer::Response(response.into()),
            Outcome::TakenOver(id) => Answer::Takeover(Socket::new(self.clone(), id)),
        }
    }

    /// Opens a WebSocket.
    ///
    /// # Panics
    ///
    /// When the app refuses it, or its answer is no valid handshake.
    #[track_caller]
    pub fn connect(&self, handshake: Handshake) -> Connection {
        match self.try_connect(handshake) {
            Ok(connection) => connection,
            Err(response) => panic!("expected a WebSocket, got {}", response.describe()),
        }
    }

    /// Opens a WebSocket, if the app lets it.
    ///
    /// # Errors
    ///
    /// The response by which the app refuses it.
    ///
    /// # Panics
    ///
    /// When the app's answer is no valid handshake, or the handshake cannot be sent.
    #[track_caller]
    pub fn try_connect(&self, handshake: Handshake) -> Result<Connection, Response> {
        let number = self.with(|host| Ok(host.next_client()));
        let (client, head) = match Client::connect(self.now(), &handshake, number) {
            Ok(connecting) => connecting,
            Err(error) => panic!("the handshake cannot be sent: {error}"),
        };
        let request = handshake.parse(&head);
        let id = match self.with(|host| host.request(&request, &[], Some(client))) {
            Outcome::Response(response) => return Err(response.into()),
            Outcome::TakenOver(id) => id,
        };
        let connection = Connection::new(Socket::new(self.clone(), id));
        if let Some(reason) = connection.refused() {
            panic!("the client refuses the app's 101: {reason}");
        }
        Ok(connection)
    }

    /// The host wants all connections to end, as when the runner is stopped.
    #[track_caller]
    pub fn shutdown(&self, reason: ShutdownReason) {
        self.with(|host| host.shutdown_all(reason));
    }

    /// Does something that may make the app fail, and goes on as the runner does: a request gets status 500, and
    /// all connections of the instance get their final bytes.
    ///
    /// # Errors
    ///
    /// The [`Fault`], if it did.
    ///
    /// ```
    /// # use wasocket::{Request, Response};
    /// # use wasocket_test::{Kit, get};
    /// let kit = Kit::native(|_: &Request| -> Response { panic!("at the disco") });
    /// let fault = kit.attempt(|| kit.get("/").assert_status(500).clone()).unwrap_err();
    /// assert!(fault.reason.contains("at the disco"));
    /// ```
    pub fn attempt<T>(&self, act: impl FnOnce() -> T) -> Result<T, Fault> {
        let attempt = Attempt::begin(&self.0.attempts);
        let result = act();
        drop(attempt);
        match self.0.host.borrow_mut().take_fault() {
            Some(fault) => Err(fault),
            None => Ok(result),
        }
    }

    /// Does something with the host. The test fails if the app does anything wrong.
    #[track_caller]
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Host) -> Result<T, Breach>) -> T {
        let mut host = self.0.host.borrow_mut();
        let result = act(&mut host);
        let fault = match self.0.attempts.get() {
            0 => host.take_fault(),
            _ => None,
        };
        // Another panic may follow in one of the test's destructors.
        drop(host);
        if let Some(fault) = fault {
            panic!("{fault}");
        }
        match result {
            Ok(value) => value,
            Err(breach) => panic!("{breach}"),
        }
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Host) -> T) -> T {
        look(&self.0.host.borrow())
    }
}

/// An attempt under way. A panic of the test ends it, too.
struct Attempt<'a>(&'a Cell<usize>);

impl<'a> Attempt<'a> {
    fn begin(attempts: &'a Cell<usize>) -> Self {
        attempts.set(attempts.get() + 1);
        Self(attempts)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}
