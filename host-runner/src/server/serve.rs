//! The command `serve`: puts the parts together, and takes them down again.

use std::fmt;
use std::future::pending;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::{Builder, LocalOptions};
use tokio::select;

use crate::guest::default_app::DEFAULT_APP;
use crate::guest::engine;
use crate::guest::load::cache::Cache;
use crate::guest::load::component::{Component, Loader};
use crate::guest::load::error::LoadError;
use crate::guest::load::world::World;
use crate::http::hosts::Hosts;
use crate::net::listen::{self, Bound, ListenError};
use crate::net::tls::{Tls, TlsError};
use crate::observe::process_stats;
use crate::observe::trace;
use crate::process::os_signals::Signals;
use crate::process::service_manager::{State, notify};
use crate::process::shared::Shared;
use crate::server::admin::{self, AdminError};
use crate::server::config::ServerConfig;
use crate::server::ingress::Ingress;
use crate::server::watch::Watched;
use crate::server::workers::{Orders, Plan, WorkerError, Workers};

/// Serves until a signal stops it. A second signal ends the process at once.
///
/// # Errors
///
/// When it cannot begin, or a worker fails: see [`ServeError`].
pub fn serve(config: ServerConfig) -> Result<(), ServeError> {
    let config = Arc::new(config);
    process_stats::begin();
    let traces = config.traces.clone();
    let _traces = traces.map(trace::start).transpose()?;
    let engine = engine::engine().map_err(ServeError::Engine)?;
    let file = config.component.as_deref();
    let watched = file.filter(|_| config.watch).map(Watched::new);
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
    let component = load(&loader, file)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let outcome = runtime.block_on(run(&config, &loader, component, watched));
    // A component that is being compiled is not waited for.
    runtime.shutdown_background();
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

async fn run(
    config: &Arc<ServerConfig>,
    loader: &Loader,
    component: Component,
    watched: Option<Watched>,
) -> Result<(), ServeError> {
    let places = listen::bind(&config.listen, config.workers)?;
    // With TLS it loads the certificate anew.
    let mut signals = Signals::catch(config.tls.is_none())?;
    let addresses: Vec<_> = places.iter().filter_map(Bound::address).collect();
    let tls = config.tls.as_ref();
    let tls = tls.map(|files| Tls::load(files, config.http.http2));
    let ingress = Ingress {
        proxy_protocol: config.proxy_protocol,
        trust: Arc::new(config.trust.clone()),
        tls: tls.transpose().map_err(ServeError::Tls)?,
    };
    let plan = Plan {
        component,
        hosts: Hosts::new(&config.hosts, &addresses).into(),
        ingress: ingress.into(),
        shared: Shared::new(&config.limits, config.workers).into(),
        config: Arc::clone(config),
    };
    if let Some(address) = &config.admin {
        let send_timeout = config.session.send_timeout;
        let address = admin::start(address, config.http, send_timeout, &plan.shared)?;
        tracing::info!("metrics on http://{address}/metrics");
    }
    let line = announcement(config.component.as_deref(), &places, &plan);
    let (sockets, files) = listen::deal(places, config.workers);
    let mut workers = Workers::start(&plan, sockets)?;
    let orders = workers.orders();
    select! {
        () = plan.shared.all_ready() => {
            announce(&line);
            notify(State::Ready);
        }
        error = workers.failure() => return Err(error.into()),
    }
    let signal = select! {
        signal = signals.next() => signal,
        error = workers.failure() => return Err(error.into()),
        () = plan.ingress.follow() => return Ok(()),
        () = follow(watched, loader, &orders) => return Ok(()),
    };
    let connections = plan.shared.open();
    tracing::info!(connections, "{signal}: stopping");
    notify(State::Stopping);
    drop(files);
    plan.shared.stop();
    orders.stop();
    select! {
        left = workers.ended() => match left? {
            0 => tracing::info!("stopped"),
            connections => tracing::warn!(connections, "stopped; some did not end in time"),
        },
        again = signals.next() => exit(again.exit_code().into()),
    }
    Ok(())
}

/// Has the workers serve what the file becomes, if it is watched. For ever.
async fn follow(watched: Option<Watched>, loader: &Loader, orders: &Orders) {
    match watched {
        Some(watched) => {
            let replace = async |component| orders.replace(component).await;
            watched.follow(loader, replace).await;
        }
        None => pending().await,
    }
}

/// What to open, in one line.
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

/// Says what to open. Tests read the port from it.
fn announce(line: &str) {
    let mut stdout = io::stdout().lock();
    // Nobody may be reading; that is no reason not to serve.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Why `serve` could not begin, or go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The machine cannot run wasmtime.
    Engine(wasmtime::Error),
    /// The component of this name cannot be served.
    Load(String, LoadError),
    /// The component cannot be given this directory.
    Directory(PathBuf, io::Error),
    /// The address cannot be listened on.
    Listen(ListenError),
    /// Certificate and key cannot be used.
    Tls(TlsError),
    /// The operator's address cannot be listened on.
    Admin(AdminError),
    /// A worker has ended. Half a server would be worse than none, which a service manager starts anew.
    Worker(WorkerError),
    /// The system refused something else.
    System(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(f, "wasmtime does not start: {error:#}"),
            Self::Load(name, error) => write!(f, "cannot serve {name}: {error}"),
            Self::Directory(directory, error) => {
                write!(
                    f,
                    "cannot give {} to the app (--dir): {error}",
                    directory.display()
                )
            }
            Self::Listen(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Admin(error) => error.fmt(f),
            Self::Worker(error) => error.fmt(f),
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
            Self::Worker(error) => Some(error),
            Self::System(error) | Self::Directory(_, error) => Some(error),
        }
    }
}

impl From<ListenError> for ServeError {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
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
