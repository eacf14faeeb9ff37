//! Bad surroundings: output that no one takes, threads that hang, files, memory and names that are not to be had. What
//! does not depend on them goes on.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

mod clock;
mod cpu;
mod disk;
mod hang;
mod log;
mod names;
mod resources;
mod stdout;
