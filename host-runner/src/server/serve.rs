//! Startup and shutdown of the server.

use std::fmt;
use std::future::pending;
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::runtime::{Builder, LocalOptions};
use tokio::select;
use tokio::signal::unix::{self, SignalKind};
use tokio::task::spawn_local;
use tokio::time::sleep;
use wasocket_bus::{Bus, ConnectError};

use crate::guest::default_app::DEFAULT_APP;
use crate::guest::engine;
use crate::guest::load::cache::Cache;
use crate::guest::load::component::{Component, Loader};
use crate::guest::load::error::LoadError;
use crate::guest::load::world::World;
use crate::http::hosts::Hosts;
use crate::limits::refusal_log;
use crate::net::listen::{self, Bound, ListenError, SocketFile};
use crate::net::tls::{Tls, TlsError};
use crate::observe::access_log::log_suppressed;
use crate::observe::process_stats;
use crate::observe::trace;
use crate::pool::Release;
use crate::process::heap::trim_after_sleep;
use crate::process::os_signals::{Signal, Signals};
use crate::process::service_manager::{State, feed_watchdog, notify};
use crate::process::shared::Shared;
use crate::server::admin::{self, AdminError};
use crate::server::commands::Commands;
use crate::server::config::ServerConfig;
use crate::server::handover::{
    Giver, HandoverError, Predecessor, Program, Relieved, Succession, follow_signals,
};
use crate::server::ingress::Ingress;
use crate::server::versions::swap::{self, Swapper, Swaps};
use crate::server::versions::watch::{self, Watched};
use crate::server::workers::{Plan, WorkerError, Workers};
use crate::session::moving::departure::Way;

/// Serves until a signal stops it. A second signal ends the process immediately.
///
/// # Errors
///
/// If it cannot start, or a worker fails: see [`ServeError`].
pub fn serve(config: ServerConfig) -> Result<(), ServeError> {
    let config = Arc::new(config);
    process_stats::begin();
    let traces = config.traces.clone();
    let traces = traces.map(trace::start).transpose()?;
    let engine = engine::engine().map_err(ServeError::Engine)?;
    let file = config.component.as_deref();
    let watched = file.map(|file| Watched::new(file.to_owned()));
    let loader = Loader {
        engine,
        grants: config.grants.clone(),
        cache: config.cache.then(Cache::of_user).flatten(),
        allow_precompiled: config.allow_precompiled,
    };
    for directory in &loader.grants.directories {
        let host = directory.host.clone();
        directory
            .check()
            .map_err(|error| ServeError::Directory(host, error))?;
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let outcome = runtime.block_on(async {
        // From here on, these end nothing. While the component is compiled, the other signals still do.
        let reloads = Reloads {
            hangups: unix::signal(SignalKind::hangup())?,
            takeovers: unix::signal(SignalKind::user_defined2())?,
        };
        let component = load(&loader, file)?;
        run(&config, &loader, component, watched, reloads).await
    });
    // Does not wait for a component that is being compiled.
    runtime.shutdown_background();
    if let Err(ServeError::StoppedAtOnce(_)) = outcome {
        // The last spans would be waited for.
        mem::forget(traces);
    }
    outcome
}

fn load(loader: &Loader, file: Option<&Path>) -> Result<Component, ServeError> {
    let start = Instant::now();
    let component = match file {
        Some(file) => loader.file(file),
        None => loader.load(World::Handler, DEFAULT_APP),
    };
    let component = component.map_err(|error| ServeError::Load(name(file), error))?;
    tracing::debug!("{} loaded in {:.1?}", name(file), start.elapsed());
    Ok(component)
}

fn name(file: Option<&Path>) -> String {
    match file {
        Some(file) => file.display().to_string(),
        None => "the default app".to_owned(),
    }
}

/// The signals that ask for something new.
struct Reloads {
    hangups: unix::Signal,
    takeovers: unix::Signal,
}

async fn run(
    config: &Arc<ServerConfig>,
    loader: &Loader,
    component: Component,
    watched: Option<Watched>,
    mut reloads: Reloads,
) -> Result<(), ServeError> {
    let mut signals = Signals::catch()?;
    let tls = config.tls.as_ref();
    let tls = tls.map(|files| Tls::load(files, config.http.http2));
    let ingress = Ingress {
        proxy_protocol: config.proxy_protocol,
        trust: Arc::new(config.trust.clone()),
        tls: tls.transpose().map_err(ServeError::Tls)?,
    };
    let bus_limits = config.bus_limits.clone();
    let bus = match config.bus.clone() {
        Some(engine) => Bus::connect(engine, bus_limits).map_err(ServeError::Bus)?,
        None => Bus::local(bus_limits),
    };
    // What may fail is done before: the process before goes on serving until this one is sure to.
    let mut succession = Succession::begin(config.take_over_from.as_deref()).await?;
    let inherited = &mut succession.inherited;
    let places = listen::bind(
        &config.listen,
        &config.unix,
        config.workers,
        &mut inherited.clients,
    )?;
    let addresses: Vec<_> = places.iter().filter_map(Bound::address).collect();
    let plan = Plan {
        release: Release {
            number: 0,
            component,
            trial: Arc::default(),
        },
        hosts: Hosts::new(&config.hosts, &addresses).into(),
        ingress: ingress.into(),
        shared: Shared::new(
            &config.limits,
            config.workers,
            &config.grants,
            &config.topics,
            bus,
        )
        .into(),
        config: Arc::clone(config),
    };
    let (swaps, requests) = swap::channel();
    let admin_places = match &config.admin {
        Some(settings) => admin::bind(settings, &config.unix, &mut inherited.admin)?,
        None => Vec::new(),
    };
    let (giver, predecessor, entries) =
        succession.follow(&places, &admin_places, config.workers, &plan.shared.bus)?;
    let mut files = start_admin(config, &plan.shared, swaps.clone(), admin_places)?;
    let shared = Arc::clone(&plan.shared);
    spawn_local(async move {
        loop {
            sleep(refusal_log::WINDOW).await;
            report_refusals(&shared, Instant::now());
        }
    });
    if config.session.hibernate_after.is_some() {
        let shared = Arc::clone(&plan.shared);
        spawn_local(async move { trim_after_sleep(&shared).await });
    }
    let line = announcement(config.component.as_deref(), &places, &plan);
    let (sockets, client_files) = listen::distribute(places, config.workers);
    files.extend(client_files);
    if predecessor.is_none() {
        plan.shared.inherited.set();
    }
    let mut workers = Workers::start(&plan, sockets, entries)?;
    let commands = workers.commands();
    select! {
        () = plan.shared.all_ready() => {
            announce(line);
            notify(State::Ready);
            let shared = Arc::clone(&plan.shared);
            spawn_local(async move { feed_watchdog(&shared.heartbeats, &shared.relieved).await });
        }
        error = workers.failure() => return Err(error.into()),
    }
    let swapper = Swapper {
        loader: loader.clone(),
        commands: commands.clone(),
        shared: Arc::clone(&plan.shared),
        served: watched
            .as_ref()
            .map(|watched| (watched.file.clone(), watched.loaded)),
        number: 0,
    };
    let component_hangups = unix::signal(SignalKind::hangup())?;
    let program = giver.as_ref().map(|_| Program::own()).transpose()?;
    let mut end = select! {
        signal = signals.next() => End::Stopped(signal),
        relieved = hand_over(giver.as_ref(), predecessor, &plan.shared, &commands) => match relieved {
            Ok(relieved) => End::Relieved(relieved),
            Err(error) => End::Failed(error.into()),
        },
        error = workers.failure() => End::Failed(error.into()),
        () = plan.ingress.follow(&mut reloads.hangups) => return Ok(()),
        () = swapper.run(requests) => return Ok(()),
        () = watch::follow(watched, config.watch, component_hangups, &swaps) => return Ok(()),
        () = follow_signals(reloads.takeovers, program) => return Ok(()),
    };
    let connections = plan.shared.open();
    plan.shared.stop();
    files.extend(giver.and_then(Giver::into_file));
    settle_files(&mut files, &plan.shared);
    if !matches!(end, End::Relieved(_)) {
        // Whatever was being handed over stays where it is, and the other process finds out.
        plan.shared.bus.part();
    }
    if let End::Stopped(signal) = end {
        tracing::info!(connections, "{signal}: stopping");
        notify(State::Stopping);
        select! {
            () = sleep(config.shutdown_delay) => {}
            again = signals.next() => return Err(ServeError::StoppedAtOnce(again)),
            error = workers.failure() => return Err(error.into()),
        }
    }
    drop(files);
    commands.stop();
    select! {
        left = workers.ended() => match left {
            Ok(0) => tracing::info!("stopped"),
            Ok(connections) => tracing::warn!(connections, "stopped; some connections did not end in time"),
            Err(error) => end = end.or(error.into()),
        },
        again = signals.next() => return Err(ServeError::StoppedAtOnce(again)),
        () = end.grant(&plan.shared.bus) => {}
    }
    report_refusals(&plan.shared, Instant::now() + refusal_log::WINDOW);
    match end {
        End::Relieved(relieved) => relieved.end().await,
        End::Failed(error) => return Err(error),
        End::Stopped(_) => {}
    }
    Ok(())
}

/// The files of the sockets that accept. Those of another process are this one's once that is relieved; all are left to the
/// process that has relieved this one.
fn settle_files(files: &mut Vec<SocketFile>, shared: &Shared) {
    if shared.relieved.is_set() {
        files.drain(..).for_each(SocketFile::leave);
    } else if shared.inherited.is_set() {
        files.iter_mut().for_each(SocketFile::adopt);
    }
}

/// Why the process ends.
enum End {
    Stopped(Signal),
    /// Another process has taken over.
    Relieved(Relieved),
    /// It cannot go on.
    Failed(ServeError),
}

impl End {
    /// The first reason counts.
    fn or(self, error: ServeError) -> Self {
        match self {
            failed @ Self::Failed(_) => failed,
            _ => Self::Failed(error),
        }
    }

    /// Does what the process that has taken over wishes until this one ends; never returns.
    async fn grant(&mut self, bus: &Bus) {
        match self {
            Self::Relieved(relieved) => relieved.grant(bus).await,
            _ => pending().await,
        }
    }
}

/// Hands over to a successor, if there may be one. Returns when this process is to end.
async fn hand_over(
    giver: Option<&Giver>,
    predecessor: Option<Predecessor>,
    shared: &Shared,
    commands: &Commands,
) -> Result<Relieved, HandoverError> {
    match giver {
        Some(giver) => {
            let workers = async |way: Option<&Way>| commands.hand_over(way).await;
            giver.run(predecessor, shared, workers).await
        }
        None => pending().await,
    }
}

/// Starts the admin endpoint, if there is to be one. The files must be kept for as long as it is served.
fn start_admin(
    config: &ServerConfig,
    shared: &Arc<Shared>,
    swaps: Swaps,
    places: Vec<Bound>,
) -> Result<Vec<SocketFile>, AdminError> {
    let Some(settings) = &config.admin else {
        return Ok(Vec::new());
    };
    let send_timeout = config.session.send_timeout;
    let (place, files) = admin::start(settings, config.http, send_timeout, shared, swaps, places)?;
    tracing::info!("metrics on {place}");
    Ok(files)
}

/// Logs how many refusals were not logged, of clients whose time was over at this instant.
fn report_refusals(shared: &Shared, now: Instant) {
    for (address, number) in shared.refusal_log.sweep(now) {
        log_suppressed(address, number);
    }
}

/// The line that says what to open.
fn announcement(file: Option<&Path>, places: &[Bound], plan: &Plan) -> String {
    let secure = plan.ingress.tls.is_some();
    let places: Vec<_> = places.iter().map(|place| place.place(secure)).collect();
    let places = places.join(" and ");
    tracing::debug!(places, "serving {}", name(file));
    format!(
        "Wasocket serves {} on {places} (Ctrl-C stops it)",
        name(file)
    )
}

/// Prints the line, from which tests read the port. On a thread of its own, since no one may read stdout; and if it is
/// closed, the runner serves all the same.
fn announce(line: String) {
    let print = move || {
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    };
    let _ = thread::Builder::new().name("stdout".into()).spawn(print);
}

/// Why `serve` failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// This machine cannot run wasmtime.
    Engine(wasmtime::Error),
    /// The component of this name cannot be loaded.
    Load(String, LoadError),
    /// This directory cannot be mounted for the component.
    Directory(PathBuf, io::Error),
    /// An address cannot be listened on.
    Listen(ListenError),
    /// The certificate and its key cannot be used.
    Tls(TlsError),
    /// The admin address cannot be listened on.
    Admin(AdminError),
    /// The engine of the bus cannot be used.
    Bus(ConnectError),
    /// The process cannot take over from another one.
    Handover(HandoverError),
    /// A worker ended. The process ends too, as a service manager restarts it: half a server would be worse.
    Worker(WorkerError),
    /// A second signal ended the process before all connections had ended.
    StoppedAtOnce(Signal),
    /// Another system call failed.
    System(io::Error),
}

impl ServeError {
    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::StoppedAtOnce(signal) => signal.exit_code(),
            _ => 1,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(f, "wasmtime cannot start: {error:#}"),
            Self::Load(name, error) => write!(f, "cannot serve {name}: {error}"),
            Self::Directory(directory, error) => {
                write!(f, "cannot mount {} (--dir): {error}", directory.display())
            }
            Self::Listen(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Admin(error) => error.fmt(f),
            Self::Bus(error) => write!(f, "cannot use the bus (--bus): {error}"),
            Self::Handover(error) => write!(f, "cannot take over: {error}"),
            Self::Worker(error) => error.fmt(f),
            Self::StoppedAtOnce(signal) => {
                write!(f, "{signal} again: stopped without waiting for connections")
            }
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine(error) => Some(error.as_ref()),
            Self::Load(_, error) => Some(error),
            Self::Listen(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::Admin(error) => Some(error),
            Self::Bus(error) => Some(error),
            Self::Worker(error) => Some(error),
            Self::Handover(error) => Some(error),
            Self::System(error) | Self::Directory(_, error) => Some(error),
            Self::StoppedAtOnce(_) => None,
        }
    }
}

impl From<ListenError> for ServeError {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
    }
}

impl From<HandoverError> for ServeError {
    fn from(error: HandoverError) -> Self {
        Self::Handover(error)
    }
}

impl From<AdminError> for ServeError {
    fn from(error: AdminError) -> Self {
        Self::Admin(error)
    }
}

impl From<WorkerError> for ServeError {
    fn from(error: WorkerError) -> Self {
        Self::Worker(error)
    }
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}
