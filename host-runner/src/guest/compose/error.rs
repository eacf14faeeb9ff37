use std::fmt;

use super::{APP, Target};
use crate::contract::bindings::HANDLER;

/// Why a component cannot be composed for a target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ComposeError {
    /// It is damaged, or its interface does not match its name.
    Invalid(String),
    /// It exports neither interface of an app.
    NeitherForm,
    /// It includes the protocol, and this target needs an app alone.
    NeedsEvents(Target),
    /// It imports something this target does not provide.
    Import(Target, String),
}

impl fmt::Display for ComposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => f.write_str(error),
            Self::NeitherForm => write!(f, "it exports neither {APP} nor {HANDLER}"),
            Self::NeedsEvents(target) => write!(
                f,
                "the target {} calls an app with events, possibly another instance each time, so it needs a \
                 component that exports {APP}; this one exports {HANDLER}. In Rust, write it in the event \
                 form (wasocket::events) and build it with --features wasocket/composed",
                target.name()
            ),
            Self::Import(target, import) => write!(
                f,
                "it imports {import}, on which the target {} cannot wait. Choose another target, or do without \
                 what needs it",
                target.name()
            ),
        }
    }
}

impl std::error::Error for ComposeError {}
