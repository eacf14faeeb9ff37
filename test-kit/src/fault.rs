use std::fmt;

/// The app failed, and its instance has ended with all connections: a trap of the component, or a panic
/// of a native app.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it did. The message of a panic; of a component, it is in the output of the test instead.
    pub reason: String,
    /// Where a component did it, one frame a line. Natively none: the panic has printed it.
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

/// As it is displayed, since tests end with errors as `Debug` shows them.
impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Fault {}
