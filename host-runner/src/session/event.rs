//! What happens to a session, and the calls that it makes.

use std::future::Future;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use wasocket_host_core::turn::Ending;

use crate::contract::bindings::Effects;
use crate::guest::fault::Dead;
use crate::pool::wakeups::Signal;
use crate::pool::{Call, Delivered};
use crate::topics::waiting::Due;

/// An event of a session.
#[derive(Debug)]
pub(super) enum Event {
    /// The number of bytes now in the worker's read buffer; 0 means end of stream.
    Received(usize),
    /// All output is sent, after some was unsent.
    Sent,
    /// The timer went off.
    Time,
    Signal(Signal),
    /// A publication or an event of a topic, which has waited.
    Due(Due),
    /// A batch was called, and its effects were carried out.
    Delivered(Option<Ending>),
}

/// What has arrived on the socket of a connection that sleeps.
#[derive(Debug)]
pub(super) enum Arrived {
    /// These bytes; none at the end of stream.
    Bytes(Vec<u8>),
    /// The socket has failed.
    Failure(io::Error),
}

impl Arrived {
    /// Copies the bytes, as a read does. Returns their number.
    pub(super) fn copy_to(self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.as_slice().read(buffer)?),
            Self::Failure(error) => Err(error),
        }
    }
}

/// What a delivery, which is made by another task, has brought about.
#[derive(Debug)]
pub(super) enum Pushed {
    /// Nothing that the session must look after.
    Nothing,
    /// The session must end, or has failed.
    Ended(io::Result<Option<Ending>>),
}

/// A call in progress.
pub(super) enum Called {
    /// One that has effects.
    Call(Call<Effects>),
    /// A delivery.
    Deliver(Call<Delivered>),
}

/// What a call has brought about.
pub(super) enum Done {
    Effects(Effects),
    Delivered(Delivered),
}

impl From<Call<Effects>> for Called {
    fn from(call: Call<Effects>) -> Self {
        Self::Call(call)
    }
}

impl Future for Called {
    type Output = Result<Done, Dead>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Call(call) => Pin::new(call).poll(context).map_ok(Done::Effects),
            Self::Deliver(call) => Pin::new(call).poll(context).map_ok(Done::Delivered),
        }
    }
}
