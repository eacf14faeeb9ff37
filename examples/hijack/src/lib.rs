//! Raw TCP on a socket that began with HTTP: the `http.Hijacker` example of Go's documentation at `/hijack`, and an
//! echo of bytes at `/bytes`, starting with those sent right after the request.

use wasocket::{RawError, RawStream, Router, takeover};

wasocket::export!(routes());

/// The longest line that the app reads, in bytes.
const MAX_LINE: usize = 1024;

fn routes() -> Router {
    Router::new()
        .get("/hijack", takeover(say_hi))
        .get("/bytes", takeover(echo))
}

async fn say_hi(stream: RawStream) -> Result<(), RawError> {
    stream.write("Now we're speaking raw TCP. Say hi: ").await?;
    match stream.read_line(MAX_LINE).await {
        Ok(Some(line)) => stream.write(format!("You said: {line:?}\nBye.\n")).await,
        Ok(None) => Ok(()),
        Err(error) => stream.write(format!("{error}\n")).await,
    }
}

async fn echo(stream: RawStream) -> Result<(), RawError> {
    while let Some(bytes) = stream.read().await? {
        stream.write(bytes).await?;
    }
    Ok(())
}
