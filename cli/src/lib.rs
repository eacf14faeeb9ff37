//! The command line of Wasocket: what the program `wasocket` is made of.
//!
//! `cli` is the command line and `config_file` the file next to it; `commands` has a file or a folder for each command.
//! Everything else is the library `wasocket-host`.

pub mod cli;
pub mod commands;
pub mod config_file;
pub mod json_log;
mod parse;
