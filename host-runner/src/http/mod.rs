//! One request, whatever its version of HTTP.

pub mod ask;
pub mod h1;
pub mod h2;
pub mod hosts;
pub mod taken;
pub mod worker;
