//! HTTP/1: the reader of request heads, and the service that hyper calls.

pub mod head_reader;
pub mod service;
mod stand_in;
