//! A full disk, other than for the log.

use std::fs;

use support::{Server, temporary_folder, wasocket, with_small_disk};

/// ENOSPC in the cache of compiled components.
#[test]
fn a_full_disk_of_the_cache_is_no_reason_not_to_serve() {
    let folder = temporary_folder("cache-disk");
    let mut command = wasocket(&["serve", "--listen", "127.0.0.1:0", "--allow-host", "*"]);
    command.env("XDG_CACHE_HOME", &folder);
    if let Some(mut command) = with_small_disk(&command, &folder, 64) {
        let server = Server::run(&mut command);
        server.wait_for_log("could not cache the compiled component");
        server.wait_for_log("No space left on device");
        server.websocket("/echo").assert_echoes("served");
        // As the process sees it.
        let cache = format!("/proc/{}/root{}/wasocket", server.id(), folder.display());
        let files = fs::read_dir(cache).expect("the folder of the cache");
        assert_eq!(files.count(), 0, "half a file is left");
    }
    fs::remove_dir_all(folder).expect("the folder");
}
