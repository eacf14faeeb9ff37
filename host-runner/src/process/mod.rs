//! What all threads of the process share: limits, signals, the service manager.

pub mod os_signals;
pub mod service_manager;
pub mod shared;
pub mod stop_event;
