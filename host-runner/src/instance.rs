//! An instance, whatever its world, and calls into it, each bounded in time and memory.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::Store;
use wasmtime::component::{
    ComponentNamedList, Instance as WasmInstance, Lift, Lower, ResourceAny, TypedFunc,
};
use wasmtime_wasi::runtime::with_ambient_tokio_runtime;

use crate::component::{Component, World};
use crate::engine;
use crate::guest::{GuestFault, Limits};
use crate::state::State;

/// An instance of a component.
///
/// After a [`GuestFault`] it is dead: drop it. What it holds may be in any state.
pub(crate) struct Instance {
    store: Store<State>,
    pub(crate) limits: Limits,
    pub(crate) on_fiber: bool,
    /// Woken when something is ready that a call has asked about.
    waker: Waker,
}

impl Instance {
    /// Instantiates a component, and looks its functions up.
    pub(crate) fn new<F>(
        component: &Component,
        limits: Limits,
        functions: impl FnOnce(&mut Exports<'_>) -> wasmtime::Result<F>,
    ) -> Result<(Self, F), GuestFault> {
        let pre = &component.instance_pre;
        let mut store = Store::new(pre.engine(), State::new(limits.memory, &component.grants));
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(engine::ticks(limits.start_time));
        let instance = if component.imports_wasi {
            at_once(pre.instantiate_async(&mut store), Waker::noop())
        } else {
            Some(pre.instantiate(&mut store))
        };
        let functions = instance
            .ok_or_else(GuestFault::blocked)?
            .and_then(|instance| {
                functions(&mut Exports {
                    instance,
                    store: &mut store,
                })
            })
            .map_err(|error| GuestFault::at_start(&error, limits))?;
        let instance = Self {
            store,
            limits,
            on_fiber: component.imports_wasi,
            waker: Waker::noop().clone(),
        };
        Ok((instance, functions))
    }

    /// In the calls that follow, this is to be woken when something outside is ready that the guest asks
    /// about.
    pub(crate) fn call_with(&mut self, waker: &Waker) {
        if self.on_fiber {
            self.waker.clone_from(waker);
        }
    }

    /// Drops a resource. After this call its handle must not be used.
    pub(crate) fn drop_resource(&mut self, resource: ResourceAny) -> Result<(), GuestFault> {
        self.start_clock();
        let outcome = if self.on_fiber {
            at_once(resource.resource_drop_async(&mut self.store), Waker::noop())
        } else {
            Some(resource.resource_drop(&mut self.store))
        };
        self.judge(outcome)
    }

    /// Calls a function.
    pub(crate) fn call<P, R>(
        &mut self,
        function: TypedFunc<P, (R,)>,
        params: P,
    ) -> Result<R, GuestFault>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.start_clock();
        let outcome = if self.on_fiber {
            at_once(function.call_async(&mut self.store, params), &self.waker)
        } else {
            Some(function.call(&mut self.store, params))
        };
        self.judge(outcome).map(|(result,)| result)
    }

    fn start_clock(&mut self) {
        let ticks = engine::ticks(self.limits.call_time);
        self.store.set_epoch_deadline(ticks);
    }

    fn judge<R>(&self, outcome: Option<wasmtime::Result<R>>) -> Result<R, GuestFault> {
        outcome
            .ok_or_else(GuestFault::blocked)?
            .map_err(|error| GuestFault::new(&error, self.limits))
    }
}

/// Polls a future once: `None` if it is not done then.
///
/// The contract says that every function returns at once. A call that is pending is a guest that
/// waits for something of WASI; it is not waited with. One that only asks whether something is ready,
/// and returns, has the waker woken when it is: wasmtime polls what it asks about in this context.
fn at_once<F: Future>(future: F, waker: &Waker) -> Option<F::Output> {
    let future = pin!(future);
    // What a guest waits for may be tokio's, which outside a runtime (in a test) would panic.
    with_ambient_tokio_runtime(|| match future.poll(&mut Context::from_waker(waker)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Where the functions of an instance are found.
pub(crate) struct Exports<'a> {
    instance: WasmInstance,
    store: &'a mut Store<State>,
}

impl Exports<'_> {
    /// The function of this name in the interface of a world.
    pub(crate) fn function<P, R>(
        &mut self,
        world: World,
        name: &str,
    ) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let interface = world.interface();
        let instance = &self.instance;
        let index = instance
            .get_export_index(&mut *self.store, None, interface)
            .and_then(|index| instance.get_export_index(&mut *self.store, Some(&index), name))
            .ok_or_else(|| wasmtime::format_err!("{interface} has no function {name}"))?;
        instance.get_typed_func(&mut *self.store, index)
    }
}
