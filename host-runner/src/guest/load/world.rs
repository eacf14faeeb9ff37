//! The worlds of `wit/` that a component can be loaded as.

use wasmtime::component::InstancePre;

use crate::contract::bindings::{CLIENT, ClientPre, HANDLER, HandlerPre};
use crate::guest::wasi::state::State;

/// The world of `wit/` that a component is loaded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// It handles requests.
    Handler,
    /// It connects to a server.
    Client,
}

impl World {
    /// The interface that a component of this world exports.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            Self::Handler => HANDLER,
            Self::Client => CLIENT,
        }
    }

    /// Checks the types of the exports.
    pub(super) fn check(self, pre: InstancePre<State>) -> wasmtime::Result<InstancePre<State>> {
        Ok(match self {
            Self::Handler => HandlerPre::new(pre)?.instance_pre().clone(),
            Self::Client => ClientPre::new(pre)?.instance_pre().clone(),
        })
    }
}
