//! Runs Wasocket and other servers, one thread each, and measures their cost per message. `docs/performance.md`
//! explains the results.

mod campaign;
mod cell;
mod connection;
mod document;
mod echo;
mod echoes;
mod figures;
mod grow;
mod kinds;
mod load;
mod measure;
mod messages;
mod options;
mod plot;
mod process;
mod report;
mod rooms;
mod servers;
mod shares;
mod sleep;
mod soak;
mod streams;
mod swaps;
#[cfg(test)]
mod test_server;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use campaign::Campaign;
use options::{Command, Options, Run};
use report::Report;
use servers::Places;

/// Errors are texts for the user of the program.
type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let places = options.places();
    match &options.command {
        Command::Run(run) => {
            let report = messages(run, &places)?;
            println!("{}", document::run(&report));
            let name = if run.rooms { document::ROOMS } else { "run" };
            finish(&report, name, run.write, &places)
        }
        Command::Grow(run) => {
            let report = grow::grow(run, &places)?;
            println!("{}", document::grow(&report));
            finish(&report, "grow", run.write, &places)
        }
        Command::Shares(run) => {
            let report = shares::shares(run, &places)?;
            println!("{}", document::alone(&report, "calm"));
            finish(&report, shares::SHARES, false, &places)
        }
        Command::Swaps(run) => {
            let report = swaps::swaps(run, &places)?;
            println!("{}", document::alone(&report, swaps::FIRST));
            finish(&report, swaps::SWAPS, false, &places)
        }
        Command::Sleep(run) => {
            let report = sleep::hibernation(run, &places)?;
            println!("{}", document::alone(&report, swaps::FIRST));
            finish(&report, sleep::SLEEP, false, &places)
        }
        Command::Soak(options) => soak::soak(options, &places),
        Command::Write => document::write(&places),
    }
}

fn messages(run: &Run, places: &Places) -> Result<Report> {
    let campaign = Campaign::new(run, places)?;
    let tables = campaign.measure(&run.measurements())?;
    let command = if run.rooms {
        "make bench-rooms"
    } else {
        "make bench"
    };
    Ok(campaign.report(command, tables))
}

/// Keeps the report, and writes it into the documentation if asked to.
fn finish(report: &Report, name: &str, write: bool, places: &Places) -> Result<()> {
    let file = places.report(name);
    std::fs::write(&file, serde_json::to_string_pretty(report)?)?;
    eprintln!("All figures: {}", relative(&file, &places.root));
    if write {
        document::write(places)?;
    }
    Ok(())
}

fn relative(file: &Path, root: &Path) -> String {
    file.strip_prefix(root)
        .unwrap_or(file)
        .display()
        .to_string()
}
