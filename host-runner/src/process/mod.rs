//! State shared by all threads of the process: limits, signals, the service manager.

pub(crate) mod heap;
pub(crate) mod heartbeat;
pub(crate) mod open_connections;
pub mod os_signals;
pub(crate) mod service_manager;
pub(crate) mod shared;
pub(crate) mod stop_event;
