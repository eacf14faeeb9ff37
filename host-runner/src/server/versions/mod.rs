//! New versions of the component: what brings them, and whether they are served.

pub(super) mod swap;
pub(super) mod watch;
