//! Tests of the bus, and what tests of engines need.

pub(crate) mod checker;
pub(crate) mod schedule;
mod twin;

use proptest::prelude::*;

use crate::Bus;
use crate::limits::{HistoryLimits, Limits};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_process_delivers_everything_once_and_in_order(steps in schedule::schedules(1, 200)) {
        let bus = Bus::local(Limits::default());
        let checker = schedule::check("local", &[bus], steps, false, || ());
        assert_eq!(checker.gaps, 0);
    }

    /// The workers are slow, and little is kept: gaps are told, and nothing else is missing.
    #[test]
    fn what_has_no_room_becomes_a_gap(steps in schedule::schedules(1, 200)) {
        let limits = Limits {
            inbox: 3000,
            history: HistoryLimits { bytes: 2000, topics: 1, ..HistoryLimits::default() },
            ..Limits::default()
        };
        let bus = Bus::local(limits);
        schedule::check("local", &[bus], steps, false, || ());
    }
}
