//! A host name, or a pattern of host names, as the operator writes it.

/// A host, or a pattern of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Any,
    /// In lower case, as the others.
    Is(String),
    /// One label, and this behind it.
    LabelOf(String),
}

impl Host {
    pub(crate) fn matches(&self, host: &str) -> bool {
        // A dot at the end says that the name is complete, which makes it no other.
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
