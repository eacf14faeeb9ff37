//! An instance of the client component, and the calls into it: the counterpart of
//! [`Guest`](crate::guest::handler::Guest).

use std::fmt;

use wasmtime::component::{ResourceAny, TypedFunc};

use crate::contract::bindings::{ClientRequest, Connecting, Effects, Instant, Message, Progress};
use crate::guest::fault::GuestFault;
use crate::guest::instance::{Exports, Instance as Bounded, finish};
use crate::guest::limits::Limits;
use crate::guest::load::component::Component;
use crate::guest::load::world::World;

/// The component of `wasocket connect`: `components/client`, embedded as `build.rs` built it.
pub const CLIENT_COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/client.wasm"));

/// An instance of a component of the world `client`.
///
/// Its methods are the functions of the contract, one to one; the caller keeps to the order the contract demands.
/// After a [`GuestFault`] the instance is dead: drop it. The inner results are the component's own; their errors are
/// texts for the user.
pub struct Client {
    instance: Bounded,
    functions: Functions,
}

impl Client {
    /// Instantiates a component.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`], since the component's start functions run here, within the limits.
    pub fn new(component: &Component, limits: Limits) -> Result<Self, GuestFault> {
        let (instance, functions) = finish(Bounded::new(component, limits, Functions::of))?;
        Ok(Self {
            instance,
            functions,
        })
    }

    /// `connect`: begins the opening handshake. `entropy` is 48 bytes from a secure source.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub fn connect(
        &mut self,
        now: Instant,
        request: &ClientRequest,
        entropy: &[u8; 48],
    ) -> Result<Result<Connecting, String>, GuestFault> {
        let function: Connect<'_> = self.functions.connect;
        finish(self.instance.call(function, (now, request, &entropy[..])))
    }

    /// `client-connection.receive`: bytes arrived.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub fn receive(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        bytes: &[u8],
    ) -> Result<Progress, GuestFault> {
        let function: Receive<'_> = self.functions.receive;
        finish(self.instance.call(function, (connection, now, bytes)))
    }

    /// `client-connection.receive-eof`: the server has finished sending.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub fn receive_eof(
        &mut self,
        connection: ResourceAny,
        now: Instant,
    ) -> Result<Progress, GuestFault> {
        finish(
            self.instance
                .call(self.functions.receive_eof, (connection, now)),
        )
    }

    /// `client-connection.wake`: the instant asked for has come. `unsent` is the number of bytes of output that are
    /// still unsent.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub fn wake(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        unsent: usize,
    ) -> Result<Progress, GuestFault> {
        let unsent = u64::try_from(unsent).unwrap_or(u64::MAX);
        finish(
            self.instance
                .call(self.functions.wake, (connection, now, unsent)),
        )
    }

    /// `client-connection.send`: sends a message.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub fn send(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        message: &Message,
    ) -> Result<Result<Effects, String>, GuestFault> {
        let function: Send<'_> = self.functions.send;
        finish(self.instance.call(function, (connection, now, message)))
    }

    /// `client-connection.ping`: sends a ping.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub fn ping(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        payload: &[u8],
    ) -> Result<Result<Effects, String>, GuestFault> {
        let function: Ping<'_> = self.functions.ping;
        finish(self.instance.call(function, (connection, now, payload)))
    }

    /// `client-connection.close`: begins the closing handshake.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`]; the instance is dead then.
    pub fn close(
        &mut self,
        connection: ResourceAny,
        now: Instant,
        code: u16,
        reason: &str,
    ) -> Result<Result<Effects, String>, GuestFault> {
        let function: Close<'_> = self.functions.close;
        finish(
            self.instance
                .call(function, (connection, now, code, reason)),
        )
    }

    /// Drops a connection. After this call its handle must not be used.
    ///
    /// # Errors
    ///
    /// A [`GuestFault`], since the guest's destructor runs here; the instance is dead then.
    pub fn drop_connection(&mut self, connection: ResourceAny) -> Result<(), GuestFault> {
        finish(self.instance.drop_resource(connection))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("limits", &self.instance.limits)
            .finish_non_exhaustive()
    }
}

type Acted = (Result<Effects, String>,);
type Connect<'a> = TypedFunc<(Instant, &'a ClientRequest, &'a [u8]), (Result<Connecting, String>,)>;
type Receive<'a> = TypedFunc<(ResourceAny, Instant, &'a [u8]), (Progress,)>;
type WithTime = TypedFunc<(ResourceAny, Instant), (Progress,)>;
type Send<'a> = TypedFunc<(ResourceAny, Instant, &'a Message), Acted>;
type Ping<'a> = TypedFunc<(ResourceAny, Instant, &'a [u8]), Acted>;
type Close<'a> = TypedFunc<(ResourceAny, Instant, u16, &'a str), Acted>;

/// The functions of `websocket-client`.
struct Functions {
    connect: Connect<'static>,
    receive: Receive<'static>,
    receive_eof: WithTime,
    wake: TypedFunc<(ResourceAny, Instant, u64), (Progress,)>,
    send: Send<'static>,
    ping: Ping<'static>,
    close: Close<'static>,
}

impl Functions {
    fn of(exports: &mut Exports<'_>) -> wasmtime::Result<Self> {
        let world = World::Client;
        Ok(Self {
            connect: exports.function(world, "connect")?,
            receive: exports.function(world, "[method]client-connection.receive")?,
            receive_eof: exports.function(world, "[method]client-connection.receive-eof")?,
            wake: exports.function(world, "[method]client-connection.wake")?,
            send: exports.function(world, "[method]client-connection.send")?,
            ping: exports.function(world, "[method]client-connection.ping")?,
            close: exports.function(world, "[method]client-connection.close")?,
        })
    }
}
