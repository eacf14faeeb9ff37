//! The calls into one taken-over connection, as data: `turns.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The table of transitions, as data.
pub const TURNS: &str = include_str!("../turns.json");

/// The calls into a taken-over connection.
#[must_use]
pub fn turns() -> Turns {
    serde_json::from_str(TURNS).unwrap_or_default()
}

/// The table of transitions, and sequences that reach beyond it. `README.md` describes the notation.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Turns {
    /// The states of the table, each with the events that lead to it after `open`.
    pub states: BTreeMap<String, Vec<String>>,
    /// A state, an event, what the host does, and what it may do then.
    pub transitions: Vec<(String, String, String, String)>,
    /// Events in order.
    pub sequences: Vec<Sequence>,
}

/// An event, what the host does, and what it may do then.
pub type Step = (String, String, String);

/// A name, the events that come first, and the steps whose results are checked.
pub type Run = (String, Vec<String>, Vec<Step>);

/// Events in order, with the outcome of each.
#[derive(Clone, Debug, Deserialize)]
pub struct Sequence {
    /// The subject.
    pub name: String,
    /// The function of `websocket-handler.wit` whose documentation has the rule.
    pub call: String,
    /// An event, what the host does, and what it may do then.
    pub steps: Vec<Step>,
}

impl Turns {
    /// All sequences, with one more for each transition: the events that lead to its state, whose results are
    /// not checked, and the event itself.
    #[must_use]
    pub fn all(&self) -> Vec<Run> {
        let transitions = self.transitions.iter().map(|(state, event, does, then)| {
            let before = self.states.get(state).cloned().unwrap_or_default();
            let step = (event.clone(), does.clone(), then.clone());
            (format!("{state}: {event}"), before, vec![step])
        });
        let sequences = self.sequences.iter();
        let sequences = sequences.map(|one| (one.name.clone(), vec![], one.steps.clone()));
        transitions.chain(sequences).collect()
    }
}
