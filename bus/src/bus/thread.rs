//! The thread that speaks with the engine: a loop around the driver, which decides everything.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{interval, sleep, timeout};

use super::{Bus, Shared};
use crate::driver::Driver;
use crate::engine::{Connector, Engine, EngineError, Incoming};

/// How often the driver learns the time.
const TICK: Duration = Duration::from_millis(250);

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The delays between attempts to connect: each is twice the one before, up to this one, and up to half of it is left
/// out at random, so that the runners of a service do not come back all at once.
const MIN_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(5);

/// How many arrivals are worked on in one go, before what workers want is sent.
const MAX_ARRIVALS: usize = 64;

/// Starts the thread. It ends when the bus is dropped.
pub(super) fn start<C: Connector + Send + 'static>(
    bus: &Bus,
    connector: C,
    runner: u64,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let link = Link {
        shared: Arc::downgrade(&bus.0),
        wake: Arc::clone(&bus.0.wake),
    };
    let thread = thread::Builder::new().name("bus".to_owned());
    thread.spawn(move || {
        // The only end is that of the bus.
        let Gone = runtime.block_on(link.run(&connector, runner));
    })?;
    Ok(())
}

/// The way from the thread to the bus.
struct Link {
    shared: Weak<Shared>,
    wake: Arc<Notify>,
}

/// The bus has gone.
struct Gone;

/// Why a connection is over.
enum End {
    Gone,
    Lost(EngineError),
}

impl Link {
    /// Connects again and again, until the bus has gone.
    async fn run<C: Connector>(&self, connector: &C, runner: u64) -> Gone {
        let mut delay = MIN_DELAY;
        loop {
            let error = match self.connect(connector, runner).await {
                Ok(engine) => {
                    let since = Instant::now();
                    let end = self.serve(engine).await;
                    if since.elapsed() > MAX_DELAY {
                        delay = MIN_DELAY;
                    }
                    end
                }
                Err(end) => end,
            };
            let End::Lost(error) = error else {
                return Gone;
            };
            tracing::warn!(error = %error.0, "the engine is away");
            if self
                .with(|driver| driver.lost(&error, Instant::now()))
                .is_err()
                || self.while_ticking(sleep(jittered(delay))).await.is_err()
            {
                return Gone;
            }
            delay = (delay * 2).min(MAX_DELAY);
        }
    }

    async fn connect<C: Connector>(&self, connector: &C, runner: u64) -> Result<C::Engine, End> {
        let connecting = timeout(CONNECT_TIMEOUT, connector.connect(runner));
        match self.while_ticking(connecting).await? {
            Ok(connected) => connected.map_err(End::Lost),
            Err(_) => {
                let seconds = CONNECT_TIMEOUT.as_secs();
                let text = format!("there was no connection within {seconds} seconds");
                Err(End::Lost(EngineError(text)))
            }
        }
    }

    /// Carries requests to the engine, and what it sends to the driver, for as long as the connection lasts.
    async fn serve<E: Engine>(&self, mut engine: E) -> End {
        if let Err(Gone) = self.with(|driver| driver.connected(Instant::now())) {
            return End::Gone;
        }
        tracing::info!("the engine is connected");
        let mut ticks = interval(TICK);
        loop {
            match self.turn(&mut engine, &mut ticks).await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn turn<E: Engine>(
        &self,
        engine: &mut E,
        ticks: &mut tokio::time::Interval,
    ) -> Result<(), End> {
        for (ticket, request) in self.with(Driver::take_requests)? {
            engine.begin(ticket, request);
        }
        tokio::select! {
            first = engine.next() => self.deliver(engine, first).await?,
            () = self.wake.notified() => {}
            _ = ticks.tick() => self.with(|driver| driver.tick(Instant::now()))?.map_err(End::Lost)?,
        }
        Ok(())
    }

    /// Hands what has arrived to the driver.
    async fn deliver<E: Engine>(
        &self,
        engine: &mut E,
        first: Result<Incoming, EngineError>,
    ) -> Result<(), End> {
        let mut arrivals = vec![];
        let mut next = Some(first);
        let mut lost = None;
        while let Some(arrival) = next.take() {
            match arrival {
                Ok(incoming) => arrivals.push(incoming),
                Err(error) => lost = Some(error),
            }
            if lost.is_none() && arrivals.len() < MAX_ARRIVALS {
                next = if_ready(engine.next()).await;
            }
        }
        let now = Instant::now();
        self.with(|driver| {
            for incoming in arrivals {
                driver.incoming(incoming, now);
            }
        })?;
        lost.map_or(Ok(()), |error| Err(End::Lost(error)))
    }

    /// Waits for something, and lets the driver know the time meanwhile.
    async fn while_ticking<F: Future>(&self, work: F) -> Result<F::Output, Gone> {
        let mut work = pin!(work);
        let mut ticks = interval(TICK);
        loop {
            tokio::select! {
                result = &mut work => return Ok(result),
                () = self.wake.notified() => self.with(|_| ())?,
                _ = ticks.tick() => drop(self.with(|driver| driver.tick(Instant::now()))?),
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Driver) -> T) -> Result<T, Gone> {
        let shared = self.shared.upgrade().ok_or(Gone)?;
        let mut carrier = Bus::lock(&shared);
        carrier.driver().map(work).ok_or(Gone)
    }
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// What comes of it, if that is there already. What does not come is dropped.
async fn if_ready<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A delay with up to half of it left out.
fn jittered(delay: Duration) -> Duration {
    let random = RandomState::new().hash_one("delay") % 1000;
    delay.mul_f64(1.0 - random as f64 / 2000.0)
}
