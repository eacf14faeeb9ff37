//! A version of the component.

use std::sync::Arc;

use crate::guest::load::component::Component;
use crate::observe::metrics::swap::Trial;

/// A version of the component.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    /// Greater than those of the versions before.
    pub(crate) number: u64,
    pub(crate) component: Component,
    pub(crate) trial: Arc<Trial>,
}
