//! A streaming upload with progress: each message is a file of up to 1 GiB. It is hashed while it arrives, and only
//! one chunk is in memory; the client gets its progress after every MiB, and the SHA-1 at the end.

use serde::Serialize;
use sha1::{Digest, Sha1};
use wasocket::{App, Error, Json, Limits, MessageReader, Upgrade, WebSocket};

wasocket::export!(app());

const MAX_FILE: u64 = 1 << 30;
const PROGRESS_EVERY: u64 = 1 << 20;

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Received(u64),
    Done { size: u64, sha1: String },
}

fn app() -> impl App {
    let limits = Limits {
        max_streamed_size: Some(MAX_FILE),
        ..Limits::default()
    };
    Upgrade::new().limits(limits).serve(receive)
}

async fn receive(ws: WebSocket) -> Result<(), Error> {
    while let Some(file) = ws.next_message().await? {
        let (size, sha1) = hash(&ws, file).await?;
        ws.send(Json(Status::Done { size, sha1 })).await?;
    }
    Ok(())
}

async fn hash(ws: &WebSocket, mut file: MessageReader) -> Result<(u64, String), Error> {
    let mut sha1 = Sha1::new();
    let mut size = 0;
    while let Some(chunk) = file.chunk().await? {
        let before = size;
        size += chunk.len() as u64;
        sha1.update(&chunk);
        if before / PROGRESS_EVERY != size / PROGRESS_EVERY {
            ws.send(Json(Status::Received(size))).await?;
        }
    }
    let digits = sha1
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((size, digits))
}
