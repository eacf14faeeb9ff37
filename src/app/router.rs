use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::{App, Verdict};
use crate::head::{Request, Response};
use crate::session::Resumer;

/// An app made of other apps: the path, the method, and whether the client wants a WebSocket select the one
/// that answers.
///
/// In a path, `{name}` matches one segment and `{*name}` the whole rest, at least one byte;
/// [`Request::param`] returns what they matched. A literal segment takes precedence over `{name}`, and
/// `{name}` over `{*name}`. Escapes are not decoded before the match.
///
/// ```
/// use wasocket::{Error, Request, Response, Router, WebSocket, websocket};
///
/// async fn chat(ws: WebSocket) -> Result<(), Error> {
///     let room = ws.request().param("room").unwrap_or_default().into_owned();
///     ws.send(format!("welcome to {room}")).await
/// }
///
/// fn page(_: &Request) -> Response {
///     Response::new(200, "text/html; charset=utf-8", "<title>chat</title>")
/// }
///
/// fn routes() -> Router {
///     Router::new()
///         .get("/", page)
///         .websocket("/chat/{room}", websocket(chat))
///         .get("/healthz", |_: &Request| Response::text(200, "ok\n"))
/// }
///
/// wasocket::export!(routes());
/// ```
///
/// A request that matches no route gets 404; one with a method that its path does not have gets 405 with
/// `Allow` (RFC 9110 §15.5.6). HEAD is answered like GET; the host leaves out the body.
#[derive(Default)]
pub struct Router {
    paths: matchit::Router<usize>,
    places: Vec<Place>,
    fallback: Option<Box<dyn App>>,
}

/// The apps at a path.
#[derive(Default)]
struct Place {
    path: String,
    websocket: Option<Box<dyn App>>,
    methods: Vec<(&'static str, Box<dyn App>)>,
    any: Option<Box<dyn App>>,
}

impl Router {
    /// A router without routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has an app answer GET and HEAD at a path.
    ///
    /// # Panics
    ///
    /// As with all functions here that take a path: if it is malformed, or conflicts with another path.
    #[must_use]
    pub fn get(self, path: &str, app: impl App + 'static) -> Self {
        self.method("GET", path, app)
    }

    /// Has an app answer POST at a path.
    ///
    /// # Panics
    ///
    /// See [`get`](Self::get).
    #[must_use]
    pub fn post(self, path: &str, app: impl App + 'static) -> Self {
        self.method("POST", path, app)
    }

    /// Has an app answer a method at a path. Case matters, as in the method itself.
    ///
    /// # Panics
    ///
    /// See [`get`](Self::get).
    #[must_use]
    pub fn method(mut self, method: &'static str, path: &str, app: impl App + 'static) -> Self {
        self.place(path).methods.push((method, Box::new(app)));
        self
    }

    /// Has an app answer the requests for a WebSocket at a path. Other apps at the same path may answer
    /// requests that do not want one; without such apps it answers those, too, with a refusal.
    ///
    /// # Panics
    ///
    /// See [`get`](Self::get).
    #[must_use]
    pub fn websocket(mut self, path: &str, app: impl App + 'static) -> Self {
        self.place(path).websocket = Some(Box::new(app));
        self
    }

    /// Has an app answer everything at a path that no other app there answers, whatever the method.
    ///
    /// # Panics
    ///
    /// See [`get`](Self::get).
    #[must_use]
    pub fn any(mut self, path: &str, app: impl App + 'static) -> Self {
        self.place(path).any = Some(Box::new(app));
        self
    }

    /// Has an app answer requests that match no path, instead of 404.
    #[must_use]
    pub fn fallback(mut self, app: impl App + 'static) -> Self {
        self.fallback = Some(Box::new(app));
        self
    }

    #[track_caller]
    #[allow(
        clippy::panic,
        reason = "the author's mistake, seen when the app starts"
    )]
    fn place(&mut self, path: &str) -> &mut Place {
        let index = match self.places.iter().position(|place| place.path == path) {
            Some(index) => index,
            None => {
                let index = self.places.len();
                if let Err(error) = self.paths.insert(path, index) {
                    panic!("the path {path:?} cannot be routed: {error}");
                }
                self.places.push(Place {
                    path: path.to_owned(),
                    ..Place::default()
                });
                index
            }
        };
        #[allow(clippy::indexing_slicing, reason = "found or made above")]
        &mut self.places[index]
    }
}

impl App for Router {
    fn handle(&self, mut request: Request) -> Verdict {
        let Some((place, params)) = self.find(request.path()) else {
            return match &self.fallback {
                Some(app) => app.handle(request),
                None => Response::text(404, "There is nothing here.\n").into(),
            };
        };
        request.params = params;
        match place.app(&request) {
            Some(app) => app.handle(request),
            None => place.refuse(),
        }
    }

    fn resumer(&self, path: &str) -> Option<&dyn Resumer> {
        let app = match self.find(path) {
            Some((place, _)) => place.for_websockets()?,
            None => self.fallback.as_deref()?,
        };
        app.resumer(path)
    }
}

impl Router {
    fn find(&self, path: &str) -> Option<(&Place, Vec<(String, String)>)> {
        let found = self.paths.at(path).ok()?;
        let own = |(name, value): (&str, &str)| (name.to_string(), value.to_string());
        let place = self.places.get(*found.value)?;
        Some((place, found.params.iter().map(own).collect()))
    }
}

impl Place {
    fn app(&self, request: &Request) -> Option<&dyn App> {
        let websocket = self.websocket.as_deref();
        if request.wants_websocket() && websocket.is_some() {
            return websocket;
        }
        let of = |wanted: &str| {
            let mut methods = self.methods.iter();
            methods.find(|(method, _)| *method == wanted)
        };
        let found = of(&request.method).or_else(|| match &*request.method {
            "HEAD" => of("GET"),
            _ => None,
        });
        match found {
            Some((_, app)) => Some(&**app),
            // The refusal of a request that is not a handshake says what is missing.
            None if self.methods.is_empty() => self.any.as_deref().or(websocket),
            None => self.any.as_deref(),
        }
    }

    /// The app for requests for a WebSocket, which are GET (RFC 6455 §4.1).
    fn for_websockets(&self) -> Option<&dyn App> {
        let get = self.methods.iter().find(|(method, _)| *method == "GET");
        let get = get.map(|(_, app)| &**app);
        let websocket = self.websocket.as_deref();
        websocket.or(get).or(self.any.as_deref())
    }

    /// RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field".
    fn refuse(&self) -> Verdict {
        let mut allowed = Vec::new();
        for (method, _) in &self.methods {
            allowed.push(*method);
            if *method == "GET" {
                allowed.push("HEAD");
            }
        }
        let allowed = allowed.join(", ");
        let text = format_args!("Only {allowed} here.\n").to_string();
        Response::text(405, text)
            .with_field("Allow", allowed)
            .into()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.places.iter().map(|place| &place.path);
        f.debug_list().entries(paths).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Answer;

    fn says(text: &'static str) -> impl App {
        move |request: &Request| {
            let params = request.params.iter();
            let params = params.map(|(name, value)| alloc::format!(" {name}={value}"));
            Response::text(200, text.to_owned() + &params.collect::<String>())
        }
    }

    fn router() -> Router {
        Router::new()
            .get("/", says("page"))
            .websocket("/", says("websocket"))
            .get("/rooms/{room}", says("room"))
            .post("/rooms/{room}", says("post"))
            .get("/rooms/new", says("new"))
            .any("/files/{*path}", says("file"))
            .websocket("/only", crate::websocket(|_| async {}))
    }

    fn ask(router: &Router, method: &str, target: &str, upgrade: bool) -> Response {
        let mut request = Request {
            method: method.into(),
            target: target.into(),
            ..Request::default()
        };
        request.fields.append("Host", "a.test");
        if upgrade {
            request.fields.append("Upgrade", "websocket");
        }
        match router.handle(request) {
            Verdict::Answer(Answer::Respond(response)) => response,
            _ => panic!("no response"),
        }
    }

    #[test]
    fn routes_requests_to_their_app() {
        let router = router();
        for (method, target, upgrade, answer) in [
            ("GET", "/?x=y", false, "page"),
            ("HEAD", "/", false, "page"),
            ("GET", "/", true, "websocket"),
            ("GET", "/rooms/blue", false, "room room=blue"),
            ("GET", "http://a.test/rooms/blue?x", false, "room room=blue"),
            ("POST", "/rooms/a%2fb", false, "post room=a%2fb"),
            ("GET", "/rooms/new", false, "new"),
            ("PUT", "/files/a/b", false, "file path=a/b"),
        ] {
            let response = ask(&router, method, target, upgrade);
            assert_eq!(response.body, answer.as_bytes(), "{method} {target}");
        }
    }

    #[test]
    fn refuses_unknown_paths_and_methods() {
        let router = router();
        for (method, target, status) in [
            ("GET", "/nowhere", 404),
            ("GET", "/rooms", 404),
            ("GET", "/rooms/", 404),
            ("GET", "/files/", 404),
            ("DELETE", "/", 405),
            ("get", "/", 405),
            ("GET", "/only", 426),
            ("POST", "/only", 405),
        ] {
            let response = ask(&router, method, target, false);
            assert_eq!(response.head.status, status, "{method} {target}");
        }
        let response = ask(&router, "PUT", "/rooms/blue", false);
        let allow = response.head.fields.single("Allow");
        assert_eq!(allow, Ok(&b"GET, HEAD, POST"[..]));
        let fallback = router.fallback(says("fallback"));
        assert_eq!(ask(&fallback, "GET", "/nowhere", false).body, b"fallback");
    }

    #[test]
    #[should_panic(expected = "\"/rooms/{id}\" cannot be routed")]
    fn refuses_conflicting_paths() {
        let _ = router().get("/rooms/{id}", says("x"));
    }
}
