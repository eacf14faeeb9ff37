//! Many measurements of many servers, interleaved, so that other activity of the machine affects all of them alike.

use std::time::{Duration, Instant};

use crate::Result;
use crate::figures::Effort;
use crate::kinds::Kind;
use crate::measure::{Measurement, Subject};
use crate::options::Run;
use crate::process::{allow_files, cores, machine};
use crate::report::{Report, ServerInfo, Table};
use crate::rooms::bus;
use crate::servers::{Cores, Places, Server};

/// Enough for twenty thousand connections.
const FILES: u64 = 65_536;

/// Open files other than connections.
const OTHER_FILES: usize = 100;

/// The approximate time to start a server.
const START: Duration = Duration::from_millis(300);

/// The servers, and how they are measured.
#[derive(Clone)]
pub struct Campaign<'a> {
    kinds: Vec<&'static Kind>,
    places: &'a Places,
    cores: Cores,
    rounds: usize,
    effort: Effort,
    max_connections: usize,
}

impl<'a> Campaign<'a> {
    /// Selects the servers that can be started; prints to stderr why others cannot.
    ///
    /// # Errors
    ///
    /// When there are not two cores, or no server can be started.
    pub fn new(run: &Run, places: &'a Places) -> Result<Self> {
        let &[server, load, ..] = cores()?.as_slice() else {
            return Err(
                "two cores are needed: one for the server, one for the load generator".into(),
            );
        };
        let files = allow_files(FILES);
        let mut campaign = Self {
            kinds: run.kinds(),
            places,
            cores: Cores { server, load },
            rounds: run.rounds(),
            effort: run.effort(),
            max_connections: usize::try_from(files)?.saturating_sub(OTHER_FILES),
        };
        campaign.leave_out_missing();
        if campaign.kinds.is_empty() {
            Err("no server can be started".into())
        } else {
            Ok(campaign)
        }
    }

    /// The same with another kind of server in place of the one of the same name.
    pub fn with(&self, kind: &'static Kind) -> Self {
        let mut campaign = self.clone();
        for own in &mut campaign.kinds {
            if own.name == kind.name {
                *own = kind;
            }
        }
        campaign.leave_out_missing();
        campaign
    }

    /// The number of connections that a server can have.
    pub fn max_connections(&self) -> usize {
        self.max_connections
    }

    fn leave_out_missing(&mut self) {
        let (places, cores) = (self.places, self.cores);
        self.kinds
            .retain(|kind| match kind.start_echo(places, cores) {
                Ok(_) => true,
                Err(error) => {
                    eprintln!("{} is left out: {error}", kind.name);
                    false
                }
            });
    }

    /// The paths, the cores, and the number of rounds.
    pub fn surroundings(&self) -> (&Places, Cores, usize) {
        (self.places, self.cores, self.rounds)
    }

    /// The extent of each measurement.
    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// Measures everything in every round, with newly started servers. A server that fails a measurement is left out
    /// of that table, with the reason on stderr.
    ///
    /// # Errors
    ///
    /// When a server cannot be started any more.
    pub fn measure(&self, measurements: &[Measurement]) -> Result<Vec<Table>> {
        let table = |measurement: &Measurement| {
            Table::new(
                measurement.to_string(),
                measurement.title(),
                measurement.metrics(),
            )
        };
        let mut tables: Vec<_> = measurements.iter().map(table).collect();
        let minutes = self.estimate(measurements).as_secs_f64() / 60.0;
        eprintln!(
            "{} servers, {} measurements, {} rounds: about {minutes:.1} minutes",
            self.kinds.len(),
            measurements.len(),
            self.rounds
        );
        let start = Instant::now();
        for round in 0..self.rounds {
            let servers = self.start(round)?;
            for (measurement, table) in measurements.iter().zip(&mut tables) {
                let time = start.elapsed().as_secs();
                eprintln!(
                    "{:3}:{:02}  round {}/{}  {measurement}",
                    time / 60,
                    time % 60,
                    round + 1,
                    self.rounds
                );
                self.measure_all(measurement, &servers, table);
            }
        }
        for table in &mut tables {
            let place = |name: &str| self.kinds.iter().position(|kind| kind.name == name);
            table.rows.sort_by_key(|row| place(&row.name));
        }
        Ok(tables)
    }

    /// Starts the servers, in each round with another one first.
    fn start(&self, round: usize) -> Result<Vec<(&'static Kind, Option<Server>)>> {
        let mut kinds = self.kinds.clone();
        kinds.rotate_left(round % self.kinds.len());
        let start = |kind: &'static Kind| Ok((kind, kind.start_echo(self.places, self.cores)?));
        kinds.into_iter().map(start).collect()
    }

    fn measure_all(
        &self,
        measurement: &Measurement,
        servers: &[(&'static Kind, Option<Server>)],
        table: &mut Table,
    ) {
        for (kind, echo) in servers.iter().filter(|(kind, _)| measurement.suits(kind)) {
            match self.measure_one(measurement, kind, echo.as_ref()) {
                Ok(figures) => table.add(kind.name, figures),
                Err(error) => eprintln!("{} fails {measurement}: {error}", kind.name),
            }
        }
    }

    fn measure_one(
        &self,
        measurement: &Measurement,
        kind: &'static Kind,
        echo: Option<&Server>,
    ) -> Result<Vec<f64>> {
        let (places, cores, effort) = (self.places, self.cores, self.effort);
        match (measurement.subject(), echo) {
            (Subject::Echo, Some(echo)) => measurement.of_echo(echo, effort),
            (Subject::NewEcho, Some(_)) => match kind.start_echo(places, cores)? {
                Some(echo) => measurement.of_echo(&echo, effort),
                None => Err("it is no echo".into()),
            },
            (Subject::Room, _) => {
                measurement.of_room(kind, &kind.start_room(places, cores)?, effort)
            }
            (Subject::Bus(engine), _) => bus::measure(engine, places, cores, effort),
            (Subject::Echo | Subject::NewEcho, None) => Err("it is no echo".into()),
        }
    }

    fn estimate(&self, measurements: &[Measurement]) -> Duration {
        let of = |measurement: &Measurement| {
            let kinds = self.kinds.iter().filter(|kind| measurement.suits(kind));
            measurement.estimate(self.effort) * kinds.count() as u32
        };
        let round: Duration = measurements.iter().map(of).sum();
        (round + START * self.kinds.len() as u32) * self.rounds as u32
    }

    /// The report: tables, machine, and method.
    pub fn report(&self, command: &str, tables: Vec<Table>) -> Report {
        let server = |kind: &&Kind| ServerInfo {
            name: kind.name.to_owned(),
            what: kind.what(),
            version: kind.version(self.places),
        };
        Report {
            machine: machine(),
            command: command.to_owned(),
            rounds: self.rounds,
            seconds: self.effort.duration.as_secs_f64(),
            servers: self.kinds.iter().map(server).collect(),
            tables,
        }
    }
}
