//! Prometheus's text format.

use std::fmt::Write as _;
use std::time::Duration;

use crate::limits::open_files;
use crate::observe::process_stats;

/// The type of a metric.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// The text being written. Writing to a string does not fail.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(
            self.0,
            "# HELP wasocket_{name} {help}\n# TYPE wasocket_{name} {kind}"
        );
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, Kind::Gauge, help);
        let _ = writeln!(self.0, "wasocket_{name} {value}");
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, Kind::Counter, help);
        let _ = writeln!(self.0, "wasocket_{name} {value}");
    }

    pub(super) fn seconds(&mut self, name: &str, help: &str, kind: Kind, value: Duration) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "wasocket_{name} {}", value.as_secs_f64());
    }

    /// Metrics of the process, under the names that Prometheus's client libraries use.
    pub(super) fn process(&mut self) {
        let numbers = [
            ("start_time_seconds", Some(process_stats::began())),
            ("resident_memory_bytes", process_stats::memory()),
            ("open_fds", process_stats::open_files()),
            ("max_fds", open_files::limit()),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                let _ = writeln!(
                    self.0,
                    "# HELP process_{name} Of this process.\n# TYPE process_{name} gauge\nprocess_{name} {value}"
                );
            }
        }
    }

    /// Numbers that differ in a label, whose values need no escaping.
    pub(super) fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: Kind,
        label: &str,
        values: &[(impl AsRef<str>, u64)],
    ) {
        self.head(name, kind, help);
        for (of, value) in values {
            let _ = writeln!(
                self.0,
                "wasocket_{name}{{{label}=\"{}\"}} {value}",
                of.as_ref()
            );
        }
    }
}
