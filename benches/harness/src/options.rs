//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::figures::Effort;
use crate::kinds::{KINDS, Kind};
use crate::measure::{Measurement, across, rooms, standard};
use crate::servers::Places;

/// Compares Wasocket with other WebSocket servers: `make bench` builds them.
#[derive(Debug, Parser)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The program `wasocket` [default: target/dist/wasocket]
    #[arg(long, global = true, value_name = "FILE")]
    pub wasocket: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure messages, latency, handshakes and memory
    Run(Run),
    /// Measure how costs grow: with connections, with the size of messages, and at start with the size of
    /// components
    Grow(Run),
    /// Measure what a client has to wait next to clients of another address that flood the server
    Shares(Run),
    /// Measure how long connections are not served while a new version of the component replaces theirs
    Swaps(Run),
    /// Measure the memory of connections that sleep, and what waking one costs
    Sleep(Run),
    /// Load the runner for a long time, and check that its memory stays flat
    Soak(Soak),
    /// Write the tables and plots of the last `run` and the last `grow` into docs/performance.md
    Write,
}

/// What to measure, and how long.
#[derive(Debug, Args)]
pub struct Run {
    /// What to measure, such as 64x1K,64x16x16,4x1M,64x1K-deflate,latency,handshakes,memory: connections,
    /// size, messages in flight; room-1000x125,room-memory: members, size; bus-nats,bus-redis [default: all of
    /// docs/performance.md]
    #[arg(long, value_name = "CELL", value_delimiter = ',')]
    pub cells: Vec<Measurement>,
    /// Measure only rooms, also across two runners
    #[arg(long, conflicts_with = "cells")]
    pub rooms: bool,
    /// The servers [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>())]
    pub servers: Vec<String>,
    /// The number of times to measure everything
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// The length of each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,
    /// One short round, to check that everything works: its figures mean nothing
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    pub quick: bool,
    /// Write the tables and plots into docs/performance.md
    #[arg(long)]
    pub write: bool,
}

/// How long to load the runner.
#[derive(Debug, Args)]
pub struct Soak {
    /// How long
    #[arg(long, value_name = "MINUTES", default_value_t = 30.0, value_parser = minutes)]
    pub minutes: f64,
    /// Write the table into docs/performance.md
    #[arg(long)]
    pub write: bool,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.5..=10_000.0).contains(&minutes) => Ok(minutes),
        _ => Err("a number from 0.5 to 10000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number from 0.01 to 600".to_owned()),
    }
}

impl Options {
    /// The paths of everything: this program is part of the repository.
    pub fn places(&self) -> Places {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().unwrap_or(root);
        let wasocket = self.wasocket.clone();
        Places {
            wasocket: wasocket.unwrap_or_else(|| root.join("target/dist/wasocket")),
            built: root.join("target/bench"),
            root,
        }
    }
}

impl Run {
    /// What to measure.
    pub fn measurements(&self) -> Vec<Measurement> {
        if self.rooms {
            rooms().into_iter().chain(across()).collect()
        } else if self.cells.is_empty() {
            standard()
        } else {
            self.cells.clone()
        }
    }

    /// The servers to measure.
    pub fn kinds(&self) -> Vec<&'static Kind> {
        let is_wanted = |name: &str| {
            self.servers.is_empty() || self.servers.iter().any(|wanted| wanted == name)
        };
        KINDS.iter().filter(|kind| is_wanted(kind.name)).collect()
    }

    /// The same for one server.
    pub fn of(&self, name: &str) -> Self {
        Self {
            servers: vec![name.to_owned()],
            cells: self.cells.clone(),
            ..*self
        }
    }

    /// How many rounds there are.
    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds as usize }
    }

    /// The length of each measurement.
    pub fn effort(&self) -> Effort {
        Effort {
            duration: Duration::from_secs_f64(if self.quick { 0.1 } else { self.seconds }),
            quick: self.quick,
        }
    }
}
