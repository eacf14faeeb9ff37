//! A pattern of host names, as the operator writes it.

/// A host name or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Any,
    /// This name. In lower case, as below.
    Is(String),
    /// One label, then this name: `*.example.com`.
    LabelOf(String),
}

impl Host {
    pub(crate) fn matches(&self, host: &str) -> bool {
        // A trailing dot marks a fully qualified name; the name is the same.
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self {
            Self::Any => true,
            Self::Is(own) => *own == host,
            Self::LabelOf(parent) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        }
    }
}
