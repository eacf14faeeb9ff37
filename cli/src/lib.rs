//! The command line of Wasocket, as a library for the program `wasocket`.
//!
//! `cli` parses the command line and `config_file` the options file; `commands` has a file or a folder per command.
//! Everything else is in the library `wasocket-host`.

pub mod cli;
pub mod commands;
pub mod config_file;
pub mod json_log;
mod parse;
