use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use wasocket::{Instant, ShutdownReason};

use crate::app::App;
use crate::app::native::Native;
use crate::bus::{Bus, Node};
use crate::host::client::Client;
use crate::host::{Breach, Host, Outcome, Place};
use crate::request::{Handshake, RequestBuilder, get};
use crate::{Connection, Fault, Response, Socket};

/// A host with one instance of an app, and a clock that only [`pass`](Self::pass) moves.
///
/// Each function calls the app until it has nothing more to do, and then returns. It panics if the app fails or
/// breaks the contract; use [`attempt`](Self::attempt) in tests where the app should fail. A failed instance is replaced
/// by a new one.
#[derive(Clone)]
pub struct Kit(Rc<Shared>);

struct Shared {
    host: RefCell<Host>,
    place: RefCell<Place>,
    /// The number of attempts in progress.
    attempts: Cell<usize>,
}

/// The app's answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// Plain HTTP.
    Response(Response),
    /// The app takes over the socket.
    Takeover(Socket),
}

impl Kit {
    /// A kit for an app without WebAssembly: the value that `wasocket::export!` takes.
    ///
    /// The kit treats a panic of the app like a trap of a component, except that the app's state outside its connections
    /// survives.
    pub fn native(app: impl wasocket::App + 'static) -> Self {
        Self::of(Native::new(app))
    }

    /// A kit for the component in a file. An instance may use 64 MiB of memory, as in the runner, and a call may take
    /// one second.
    ///
    /// # Panics
    ///
    /// If the file is not a component of the world `handler`.
    #[cfg(feature = "component")]
    #[track_caller]
    pub fn component(file: impl AsRef<std::path::Path>) -> Self {
        Self::component_within(file, crate::app::component::limits())
    }

    /// Like [`component`](Self::component), with other limits.
    ///
    /// # Panics
    ///
    /// Like [`component`](Self::component).
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
        let bus = Bus::new();
        let kit = Self(Rc::new(Shared {
            host: RefCell::new(Host::new(Box::new(app))),
            place: RefCell::new(Place {
                bus: bus.clone(),
                node: 0,
            }),
            attempts: Cell::new(0),
        }));
        kit.on(&bus)
    }

    /// Puts the kit on a bus, which joins its topics with those of other kits. Call it before anything else.
    #[must_use]
    pub fn on(self, bus: &Bus) -> Self {
        let place = Place {
            bus: bus.clone(),
            node: bus.join(&self.0),
        };
        self.0.host.borrow_mut().place = Some(place.clone());
        *self.0.place.borrow_mut() = place;
        self
    }

    /// The bus that the kit is on.
    #[must_use]
    pub fn bus(&self) -> Bus {
        self.0.place.borrow().bus.clone()
    }

    /// Cuts the connection to the bus. The kit's topics go on among its own connections, without positions; others miss
    /// what is published here until [`reconnect`](Self::reconnect), and its members are gone for them.
    pub fn disconnect(&self) {
        self.set_away(true);
    }

    /// Connects to the bus again. What was missed is delivered where history has it; elsewhere subscribers are told of
    /// a gap.
    pub fn reconnect(&self) {
        self.set_away(false);
    }

    fn set_away(&self, is_away: bool) {
        let place = self.0.place.borrow().clone();
        place.bus.set_away(place.node, is_away);
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
    /// If the app takes over the socket.
    #[track_caller]
    pub fn request(&self, request: impl Into<RequestBuilder>) -> Response {
        match self.answer(request) {
            Answer::Response(response) => response,
            Answer::Takeover(_) => panic!("expected a response, but the app takes over the socket"),
        }
    }

    /// Sends a GET that is answered with plain HTTP: short for [`request`](Self::request).
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.request(get(target))
    }

    /// Sends a request to which the app responds with a takeover, raw or not. The test sees the bytes; no client
    /// interprets them.
    ///
    /// # Panics
    ///
    /// If the app answers with plain HTTP.
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
    /// If the app refuses it, or its answer is not a valid handshake.
    #[track_caller]
    pub fn connect(&self, handshake: Handshake) -> Connection {
        match self.try_connect(handshake) {
            Ok(connection) => connection,
            Err(response) => panic!("expected a WebSocket, got {}", response.describe()),
        }
    }

    /// Opens a WebSocket, if the app accepts it.
    ///
    /// # Errors
    ///
    /// The app's response if it refuses.
    ///
    /// # Panics
    ///
    /// If the app's answer is not a valid handshake, or the handshake cannot be sent.
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

    /// Asks all connections to end, as when the runner is stopped.
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

    /// Does something with the host, and has all kits on the bus take part in it. The test fails if an app does
    /// anything wrong.
    #[track_caller]
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Host) -> Result<T, Breach>) -> T {
        let result = self.0.with(act);
        self.bus().deliver();
        result
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Host) -> T) -> T {
        look(&self.0.host.borrow())
    }
}

impl Node for Shared {
    fn fetch_mail(&self) {
        self.with(Host::settle);
    }
}

impl Shared {
    #[track_caller]
    fn with<T>(&self, act: impl FnOnce(&mut Host) -> Result<T, Breach>) -> T {
        let mut host = self.host.borrow_mut();
        let result = act(&mut host);
        let fault = match self.attempts.get() {
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
}

/// An attempt in progress. A panic of the test ends it, too.
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
