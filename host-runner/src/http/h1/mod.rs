//! HTTP/1: the heads of requests, and the service that hyper calls.

pub mod head_reader;
pub mod service;
