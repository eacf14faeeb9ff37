//! The command `check`: checks a component against the published vectors and the contract, without sockets.
//!
//! ```text
//!   handshakes ─┐                                        ┌─ readable
//!   frames ─────┼──▶ trial ──▶ subject ──▶ guest         │
//!   contract ───┘      │                                 │
//!                      └──▶ cases ──▶ report ────────────┴─ JSON
//! ```
//!
//! The vectors are in crate `wasocket-vectors` (`tests/vectors`), which is published separately. This command is the
//! only part of the runner that parses frames, and it does so with that crate.

pub mod args;
mod contract;
mod delivery;
mod frames;
mod handshakes;
mod report;
mod subject;
mod suspension;
mod topics;
mod traits;
mod trial;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use crate::commands::check::args::Check;
use report::{Case, Group, Outcome, Progress, Report};
use subject::Subject;
use traits::{NoWebSocket, Traits};
use wasocket_host::component::Grants;
use wasocket_host::component::LoadError;
use wasocket_host::component::{Component, Loader};
use wasocket_host::engine;
use wasocket_host::guest::load::cache::Cache;

/// Checks a component and prints the report. Returns whether all checks passed.
///
/// # Errors
///
/// If there is nothing to check: see [`CheckError`].
pub fn check(options: &Check) -> Result<bool, CheckError> {
    let component = load(options)?;
    let mut subject = Subject::new(component, options.limits(), &options.path);
    let cases = run(&mut subject, &options.path)?;
    let report = Report {
        component: options.component.display().to_string(),
        path: options.path.clone(),
        cases,
    };
    let text = if options.json {
        report.json()
    } else {
        report.to_string()
    };
    // Stdout may be closed; the exit code still tells the result.
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
    Ok(report.has_passed())
}

fn load(options: &Check) -> Result<Component, CheckError> {
    let engine = engine::engine().map_err(CheckError::Engine)?;
    // HTTP backends are not checked: requests to them are possible, but denied.
    let grants = Grants {
        http: Some(Arc::default()),
        ..Grants::default()
    };
    let loader = Loader {
        engine,
        grants,
        cache: (!options.no_cache).then(Cache::of_user).flatten(),
        allow_precompiled: false,
    };
    let file = &options.component;
    let component = loader.file(file);
    component.map_err(|error| CheckError::Load(file.display().to_string(), error))
}

fn run(subject: &mut Subject, path: &str) -> Result<Vec<Case>, CheckError> {
    let traits = match Traits::find(subject) {
        Ok(traits) => traits,
        Err(NoWebSocket::Status(status)) => {
            return Err(CheckError::NoWebSocket(path.to_owned(), status));
        }
        // Nothing else can be checked.
        Err(NoWebSocket::Failure(failure)) => {
            return Ok(vec![Case {
                group: Group::Contract,
                name: "an opening handshake is answered".to_owned(),
                rule: "websocket-handler.wit, handle".to_owned(),
                outcome: Outcome::Failed(failure),
            }]);
        }
    };
    let mut progress = Progress::new();
    let mut cases = contract::cases(subject, &mut progress);
    cases.extend(suspension::cases(subject, &traits, &mut progress));
    cases.extend(topics::cases(subject));
    cases.extend(handshakes::cases(subject, &traits, &mut progress));
    cases.extend(frames::cases(subject, &traits, &mut progress));
    Ok(cases)
}

/// Why a component could not be checked.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckError {
    /// This machine cannot run wasmtime.
    Engine(wasmtime::Error),
    /// The component of this name cannot be loaded.
    Load(String, LoadError),
    /// The path answers the opening handshake with this status; `None` means a raw takeover.
    NoWebSocket(String, Option<u16>),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(f, "wasmtime cannot start: {error:#}"),
            Self::Load(name, error) => write!(f, "cannot check {name}: {error}"),
            Self::NoWebSocket(path, Some(status)) => write!(
                f,
                "{path} is not a WebSocket: it answers a valid opening handshake with status {status}; \
                 set the path of an echo with --path"
            ),
            Self::NoWebSocket(path, None) => write!(
                f,
                "{path} is not a WebSocket: the socket is taken over raw; set the path of an echo with \
                 --path"
            ),
        }
    }
}

impl std::error::Error for CheckError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine(error) => Some(error.as_ref()),
            Self::Load(_, error) => Some(error),
            Self::NoWebSocket(..) => None,
        }
    }
}
