//! An instance, whatever its world, and calls into it, each bounded in time and memory.
//!
//! A call is a future, and done when it is first polled, nearly always. It is pending for one of two reasons: it has
//! taken so long that others should be let go on, or the guest waits for something, which the contract does not
//! allow: there is [`Patience`] for files only. [`advance`] tells them apart, and [`finish`] is for those who have
//! nobody to let go on.

use std::cell::Cell;
use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasmtime::component::{
    ComponentNamedList, Instance as WasmInstance, Lift, Lower, ResourceAny, TypedFunc,
};
use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline};
use wasmtime_wasi::runtime::with_ambient_tokio_runtime;

use crate::guest::engine;
use crate::guest::fault::GuestFault;
use crate::guest::file_wait::{Patience, ticks_waited};
use crate::guest::limits::Limits;
use crate::guest::load::component::Component;
use crate::guest::load::world::World;
use crate::guest::wasi::state::State;

/// After so many ticks a call lets others go on: between 10 and 20 ms.
const GIVES_WAY: u64 = 2;

/// An instance of a component.
///
/// After a [`GuestFault`] it is dead: drop it. What it holds may be in any state.
pub(crate) struct Instance {
    store: Store<State>,
    pub(crate) limits: Limits,
}

impl Instance {
    /// Instantiates a component, and looks its functions up.
    pub(crate) async fn new<F>(
        component: &Component,
        limits: Limits,
        functions: impl FnOnce(&mut Exports<'_>) -> wasmtime::Result<F>,
    ) -> Result<(Self, F), GuestFault> {
        let pre = &component.instance_pre;
        let mut store = Store::new(pre.engine(), State::new(limits.memory, &component.grants));
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(on_deadline);
        let mut it = Self { store, limits };
        it.start_clock(limits.start_time);
        let instance = pre.instantiate_async(&mut it.store).await;
        let functions = instance
            .and_then(|instance| {
                functions(&mut Exports {
                    instance,
                    store: &mut it.store,
                })
            })
            .map_err(|error| GuestFault::at_start(&error, limits))?;
        Ok((it, functions))
    }

    /// Drops a resource. After this call its handle must not be used.
    pub(crate) async fn drop_resource(&mut self, resource: ResourceAny) -> Result<(), GuestFault> {
        self.start_clock(self.limits.call_time);
        let outcome = resource.resource_drop_async(&mut self.store).await;
        outcome.map_err(|error| GuestFault::new(&error, self.limits))
    }

    /// Calls a function.
    pub(crate) async fn call<P, R>(
        &mut self,
        function: TypedFunc<P, (R,)>,
        params: P,
    ) -> Result<R, GuestFault>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.call_for(1, function, params).await
    }

    /// Calls a function that does what so many calls do: it has their time. One of none takes some, too.
    pub(crate) async fn call_for<P, R>(
        &mut self,
        calls: usize,
        function: TypedFunc<P, (R,)>,
        params: P,
    ) -> Result<R, GuestFault>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX).max(1);
        self.start_clock(self.limits.call_time.saturating_mul(calls));
        match function.call_async(&mut self.store, params).await {
            Ok((result,)) => Ok(result),
            Err(error) => Err(GuestFault::new(&error, self.limits)),
        }
    }

    /// Calls a function that says nothing.
    pub(crate) async fn tell<P>(
        &mut self,
        function: TypedFunc<P, ()>,
        params: P,
    ) -> Result<(), GuestFault>
    where
        P: ComponentNamedList + Lower + Send + Sync,
    {
        self.start_clock(self.limits.call_time);
        let outcome = function.call_async(&mut self.store, params).await;
        outcome.map_err(|error| GuestFault::new(&error, self.limits))
    }

    /// So much time is there until the next fault.
    fn start_clock(&mut self, time: Duration) {
        let ticks = engine::ticks(time);
        let first = ticks.min(GIVES_WAY);
        self.store.data_mut().ticks_left = ticks - first;
        self.store.set_epoch_deadline(first);
    }
}

thread_local! {
    /// Whether a call has given way while it was polled on this thread.
    static GAVE_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Reached first when the call gives way, and then when its time is up. What it has waited is not its time.
fn on_deadline(mut context: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    if let waited @ 1.. = ticks_waited() {
        return Ok(UpdateDeadline::Continue(waited));
    }
    match mem::take(&mut context.data_mut().ticks_left) {
        0 => Err(Trap::Interrupt.into()),
        left => {
            GAVE_WAY.set(true);
            Ok(UpdateDeadline::Yield(left))
        }
    }
}

/// How far a call has come by being polled.
pub(crate) enum Advance<T> {
    Done(T),
    /// It takes long. It goes on when it is polled again, by whatever thread.
    GaveWay,
    /// It waits for something of WASI, which is for its [`Patience`] to judge.
    Blocked,
}

/// Polls a call. Where it only asks whether something is ready, and returns, the waker is woken when it is:
/// wasmtime polls what it asks about in this context.
pub(crate) fn advance<F: Future>(call: Pin<&mut F>, waker: &Waker) -> Advance<F::Output> {
    GAVE_WAY.set(false);
    let mut context = Context::from_waker(waker);
    // What a guest asks about may be tokio's, which outside a runtime (in a test) would panic.
    match with_ambient_tokio_runtime(|| call.poll(&mut context)) {
        Poll::Ready(output) => Advance::Done(output),
        Poll::Pending if GAVE_WAY.get() => Advance::GaveWay,
        Poll::Pending => Advance::Blocked,
    }
}

/// Makes a call, on this thread, to its end.
///
/// # Errors
///
/// The call's [`GuestFault`], or one that says that it waits for something.
pub fn finish<T>(call: impl Future<Output = Result<T, GuestFault>>) -> Result<T, GuestFault> {
    finish_with(pin!(call), Waker::noop(), Patience::NONE).flatten()
}

/// Polls a call until it is done, on this thread.
///
/// # Errors
///
/// That it waits for something for which there is no patience.
pub(crate) fn finish_with<F: Future>(
    mut call: Pin<&mut F>,
    waker: &Waker,
    patience: Patience,
) -> Result<F::Output, GuestFault> {
    let waiting = patience.begin(waker);
    loop {
        match advance(call.as_mut(), &waiting.waker) {
            Advance::Done(output) => return Ok(output),
            Advance::GaveWay => {}
            Advance::Blocked if waiting.wait() => {}
            Advance::Blocked => return Err(patience.fault()),
        }
    }
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
