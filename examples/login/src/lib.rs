//! An endpoint for clients with a token: in the field `Authorization` or, since browsers cannot set that for a
//! WebSocket, in a cookie. Other clients get 401 in place of a WebSocket.
//!
//! `POST /login` with the password as its query sets the cookie: `/login?password=open+sesame`.

use wasocket::{Answer, Error, Request, Response, Router, Upgrade, WebSocket};

wasocket::export!(routes());

/// A real app has a token for each user.
const TOKEN: &str = "d3b07384d113edec49eaa6238ad5ff00";
const PASSWORD: &str = "open sesame";

fn routes() -> Router {
    Router::new()
        .post("/login", login)
        .websocket("/private", private)
}

fn login(request: &Request) -> Response {
    let password = request.query_value("password").unwrap_or_default();
    if !is_same(&password, PASSWORD) {
        return Response::text(403, "That is not the password.\n");
    }
    // Hidden from scripts and other sites; a real app also sets `Secure`, and is served over TLS.
    let cookie = format!("token={TOKEN}; HttpOnly; SameSite=Strict; Path=/");
    Response::text(200, "Welcome.\n").with_field("Set-Cookie", cookie)
}

fn private(request: &Request) -> Answer {
    let Some(token) = token(request) else {
        let refusal = Response::text(401, "Log in first.\n");
        return refusal.with_field("WWW-Authenticate", "Bearer").into();
    };
    if !is_same(token, TOKEN) {
        let challenge = "Bearer error=\"invalid_token\"";
        let refusal = Response::text(401, "That token is not valid.\n");
        return refusal.with_field("WWW-Authenticate", challenge).into();
    }
    Upgrade::new().converse(request, greet)
}

async fn greet(ws: WebSocket) -> Result<(), Error> {
    ws.send("You are in.").await?;
    while let Some(text) = ws.receive::<String>().await? {
        ws.send(text).await?;
    }
    Ok(())
}

fn token(request: &Request) -> Option<&str> {
    let bearer = request.fields.single("Authorization").ok();
    let bearer = bearer.and_then(|value| std::str::from_utf8(value).ok()?.strip_prefix("Bearer "));
    bearer.or_else(|| request.cookie("token"))
}

/// Takes a time that does not depend on where the two differ, so that a secret cannot be guessed byte by byte.
fn is_same(a: &str, b: &str) -> bool {
    let differing = a.bytes().zip(b.bytes()).map(|(a, b)| a ^ b);
    a.len() == b.len() && differing.fold(0, |all, one| all | one) == 0
}
