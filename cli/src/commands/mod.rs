//! Commands, each with its arguments.

pub mod check;
pub mod compile;
pub mod connect;
pub mod project;
pub mod publish;
pub mod serve;
