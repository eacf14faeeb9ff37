//! The extent of a measurement, and its figures.

use std::time::{Duration, Instant};

use crate::Result;
use crate::process::{cpu_time, own_cpu_time};
use crate::servers::Server;

/// The number of idle connections for a figure of memory.
const IDLE_CONNECTIONS: usize = 10_000;
/// The same with `--quick`.
const QUICK_IDLE_CONNECTIONS: usize = 100;
/// The time for servers to settle after the idle connections are open.
pub const SETTLE: Duration = Duration::from_millis(500);

/// The extent of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The time of one measurement.
    pub duration: Duration,
    /// Whether it only checks that everything works.
    pub quick: bool,
}

impl Effort {
    /// The time under load before the measurement starts.
    pub fn warm_up(&self) -> Duration {
        self.duration.mul_f64(0.3)
    }

    /// The number of idle connections for a figure of memory.
    pub fn idle_connections(&self) -> usize {
        if self.quick {
            QUICK_IDLE_CONNECTIONS
        } else {
            IDLE_CONNECTIONS
        }
    }
}

/// The state of the clocks at some moment: time, and CPU time of the server and the generator.
pub struct Busy {
    /// When it was.
    pub start: Instant,
    server: Duration,
    own: Duration,
}

impl Busy {
    /// Now.
    ///
    /// # Errors
    ///
    /// When the server has ended.
    pub fn now(server: &Server) -> Result<Self> {
        Ok(Self {
            start: Instant::now(),
            server: cpu_time(server.pid())?,
            own: own_cpu_time(),
        })
    }

    /// Since then: the time, the server's CPU time, and the generator's.
    ///
    /// # Errors
    ///
    /// When the server has ended.
    pub fn since(&self, server: &Server) -> Result<(Duration, Duration, Duration)> {
        let time = self.start.elapsed();
        let own = own_cpu_time().saturating_sub(self.own);
        Ok((
            time,
            cpu_time(server.pid())?.saturating_sub(self.server),
            own,
        ))
    }
}

/// A time in microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A part of a time, in percent of it.
pub fn percent(part: Duration, whole: Duration) -> f64 {
    100.0 * part.as_secs_f64() / whole.as_secs_f64()
}

/// The value below which this share of the sorted sample lies; zero if the sample is empty.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let sample: Vec<_> = (1..=1000).map(Duration::from_micros).collect();
        for (share, micros) in [(0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000), (0.0, 1)] {
            assert_eq!(percentile(&sample, share), Duration::from_micros(micros));
        }
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
