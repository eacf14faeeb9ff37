use std::fmt;

/// A failure of the app, which ended its instance with all connections: a trap of the component, or a panic
/// of a native app.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    /// The reason: a native app's panic message. A component prints its panic message to the output of the test.
    pub reason: String,
    /// The backtrace of a component, one frame per line. `None` for a native app: the panic has printed it.
    pub backtrace: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the app failed: {}", self.reason)?;
        match &self.backtrace {
            Some(backtrace) => write!(f, "\n{backtrace}"),
            None => Ok(()),
        }
    }
}

/// Same as `Display`, since tests show errors with `Debug`.
impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Fault {}
