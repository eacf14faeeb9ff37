use std::fmt;

use super::{APP, Target};
use crate::contract::bindings::HANDLER;

/// Why a component cannot be made what a target needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ComposeError {
    /// It is damaged, or its interface is not quite the one that it is named after.
    Invalid(String),
    /// It exports neither of the interfaces that an app can have.
    NeitherForm,
    /// It is no app alone, and this target needs one.
    NeedsEvents(Target),
    /// It imports what this target cannot give.
    Import(Target, String),
}

impl fmt::Display for ComposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => f.write_str(error),
            Self::NeitherForm => write!(f, "it exports neither {APP} nor {HANDLER}"),
            Self::NeedsEvents(target) => write!(
                f,
                "the target {} calls an app with events, and may call another instance each time, so it needs \
                 a component that exports {APP}; this one exports {HANDLER}. In Rust, write it in the event \
                 form (wasocket::events), and build it with --features wasocket/composed",
                target.name()
            ),
            Self::Import(target, import) => write!(
                f,
                "it imports {import}, for which the target {} cannot wake it. Take another target, or leave \
                 out what needs it",
                target.name()
            ),
        }
    }
}

impl std::error::Error for ComposeError {}
