//! A component that reads and writes files on command. A message is a command, a path, and perhaps a text: see
//! [`execute`]. A message reports the result.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};

use wasocket::{Error, WebSocket, websocket};

wasocket::export!(websocket(serve));

thread_local! {
    static HELD: RefCell<Vec<File>> = const { RefCell::new(Vec::new()) };
}

async fn serve(ws: WebSocket) -> Result<(), Error> {
    while let Some(command) = ws.receive::<String>().await? {
        let said = execute(&command).unwrap_or_else(|error| format!("error: {:?}", error.kind()));
        ws.send(said).await?;
    }
    Ok(())
}

fn execute(command: &str) -> io::Result<String> {
    let mut words = command.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (name, path, text) = (word(), word(), word());
    match name {
        "read" => fs::read_to_string(path),
        // In several reads, none of which returns the whole file.
        "size" => {
            let (mut file, mut buffer, mut size) = (File::open(path)?, [0; 1000], 0);
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(size.to_string()),
                    length => size += length,
                }
            }
        }
        "list" => {
            let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
            let mut names = names.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            let names = names.iter().map(|name| name.to_string_lossy());
            Ok(names.collect::<Vec<_>>().join(" "))
        }
        "write" => fs::write(path, text).map(|()| "written".to_owned()),
        // As often as the text says.
        "open" => {
            for _ in 0..text.parse().unwrap_or(0) {
                File::open(path)?;
            }
            Ok("opened".to_owned())
        }
        // Opens as often as the text says, and closes nothing.
        "hold" => {
            for _ in 0..text.parse().unwrap_or(0) {
                let file = File::open(path)?;
                HELD.with_borrow_mut(|held| held.push(file));
            }
            Ok("held".to_owned())
        }
        "release" => {
            let held = HELD.take();
            Ok(held.len().to_string())
        }
        "append" => {
            let mut file = File::options().append(true).open(path)?;
            file.write_all(text.as_bytes())?;
            Ok("appended".to_owned())
        }
        // In several writes, each of which continues where the last one ended.
        "fill" => {
            let mut file = File::create(path)?;
            for _ in 0..text.parse().unwrap_or(0) {
                file.write_all(&[b'a'; 1000])?;
            }
            Ok("filled".to_owned())
        }
        "rename" => fs::rename(path, text).map(|()| "renamed".to_owned()),
        "make" => fs::create_dir(path).map(|()| "made".to_owned()),
        "remove" => fs::remove_file(path).map(|()| "removed".to_owned()),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
