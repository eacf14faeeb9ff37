//! An instance of any world, and calls into it, each limited in time and memory.
//!
//! A call is a future that nearly always completes when it is first polled. It is pending for one of two reasons: it has
//! run so long that others should get a turn, or the guest waits for something, which the contract does not allow except
//! for files (see `FileWait`). `advance` tells the two apart; [`finish`] is for callers that have nothing else to run.
use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasmtime::component::{
    ComponentNamedList, Instance as WasmInstance, Lift, Lower, ResourceAny, TypedFunc,
};
use wasmtime::{Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::runtime::with_ambient_tokio_runtime;

use crate::guest::engine::{self, CallClock, Due, YIELD_TICKS};
use crate::guest::fault::GuestFault;
use crate::guest::file_wait::FileWait;
use crate::guest::limits::Limits;
use crate::guest::load::component::Component;
use crate::guest::load::world::World;
use crate::guest::wasi::state::State;

/// An instance of a component.
///
/// After a [`GuestFault`] it is dead: drop it, as its state is undefined.
pub(crate) struct Instance {
    store: Store<State>,
    pub(crate) limits: Limits,
}

impl Instance {
    /// Instantiates a component and looks up its functions.
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

    /// Drops a resource. Its handle must not be used after this call.
    pub(crate) async fn drop_resource(&mut self, resource: ResourceAny) -> Result<(), GuestFault> {
        self.start_clock(self.limits.call_time);
        let outcome = resource.resource_drop_async(&mut self.store).await;
        outcome.map_err(|error| GuestFault::new(&error))
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

    /// Calls a function that does the work of `calls` calls and has their time.
    pub(crate) async fn call_for<P, R>(
        &mut self,
        calls: u32,
        function: TypedFunc<P, (R,)>,
        params: P,
    ) -> Result<R, GuestFault>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.start_clock(self.limits.call_time.saturating_mul(calls));
        match function.call_async(&mut self.store, params).await {
            Ok((result,)) => Ok(result),
            Err(error) => Err(GuestFault::new(&error)),
        }
    }

    /// Calls a function that returns nothing.
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
        outcome.map_err(|error| GuestFault::new(&error))
    }

    /// Starts the clock of a call that may use this CPU time.
    fn start_clock(&mut self, cpu_time: Duration) {
        self.store.data_mut().clock = CallClock::start(cpu_time);
        self.store.set_epoch_deadline(YIELD_TICKS);
    }
}

thread_local! {
    /// Whether a call has yielded while it was polled on this thread.
    static YIELDED: Cell<bool> = const { Cell::new(false) };
}

fn on_deadline(mut context: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    match context.data_mut().clock.on_deadline() {
        Due::Continue(ticks) => Ok(UpdateDeadline::Continue(ticks)),
        Due::Yield(ticks) => {
            YIELDED.set(true);
            Ok(UpdateDeadline::Yield(ticks))
        }
        Due::End(error) => Err(error.into()),
    }
}

/// The outcome of polling a call.
pub(crate) enum Advance<T> {
    Done(T),
    /// It takes long. Poll it again to continue it, on any thread.
    Yielded,
    /// It waits for something in WASI, which its [`FileWait`] may allow.
    Blocked,
}

/// Polls a call. If the call only polls something and returns, `waker` is woken when that is ready, since wasmtime
/// polls in this context.
pub(crate) fn advance<F: Future>(call: Pin<&mut F>, waker: &Waker) -> Advance<F::Output> {
    YIELDED.set(false);
    let mut context = Context::from_waker(waker);
    // A guest may poll a future of tokio, which would panic outside a runtime (in a test).
    match with_ambient_tokio_runtime(|| call.poll(&mut context)) {
        Poll::Ready(output) => Advance::Done(output),
        Poll::Pending if YIELDED.get() => Advance::Yielded,
        Poll::Pending => Advance::Blocked,
    }
}

/// Runs a call to its end, on this thread.
///
/// # Errors
///
/// The call's [`GuestFault`], or the fault of waiting for something.
pub fn finish<T>(call: impl Future<Output = Result<T, GuestFault>>) -> Result<T, GuestFault> {
    finish_with(pin!(call), Waker::noop(), FileWait::NONE).flatten()
}

/// Polls a call until it completes, on this thread.
///
/// # Errors
///
/// The fault of waiting for longer than `file_wait` allows.
pub(crate) fn finish_with<F: Future>(
    mut call: Pin<&mut F>,
    waker: &Waker,
    file_wait: FileWait,
) -> Result<F::Output, GuestFault> {
    let waiting = file_wait.begin(waker);
    engine::resume();
    loop {
        match advance(call.as_mut(), &waiting.waker) {
            Advance::Done(output) => return Ok(output),
            Advance::Yielded => engine::resume(),
            Advance::Blocked if waiting.wait() => {}
            Advance::Blocked => return Err(file_wait.fault()),
        }
    }
}

/// Finds the functions of an instance.
pub(crate) struct Exports<'a> {
    instance: WasmInstance,
    store: &'a mut Store<State>,
}

impl Exports<'_> {
    /// The function of this name in the world's interface.
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
