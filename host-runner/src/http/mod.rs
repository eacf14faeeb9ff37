//! One request, whatever its version of HTTP.

pub(crate) mod ask;
pub(crate) mod h1;
pub(crate) mod h2;
pub mod hosts;
pub mod settings;
pub(crate) mod taken;
pub(crate) mod worker;
