//! Behind a proxy that speaks GRIP: Pushpin in front of the component on two servers of `wasi:http`.

#[path = "pushpin.rs"]
mod pushpin;
#[path = "wasi_http.rs"]
mod wasi_http;

use std::ops::Deref;
use std::path::Path;
use std::process::Command;

use crate::runner::{Server, Site, root};
use pushpin::{KEY, Ports, Pushpin};
use wasi_http::WasiHttp;

const CANNOT: &[(&str, &str)] = &[
    (
        "messages come back as they are",
        "Pushpin takes messages of less than 200,000 bytes, and sends longer ones than 16,384 in fragments",
    ),
    (
        "a message that is too long closes with 1009",
        "Pushpin drops the connection",
    ),
    (
        "the client's close is answered",
        "Pushpin answers a Close frame without a code with code 1000",
    ),
    (
        "an exception closes all of the instance with 1011",
        "Pushpin drops the one connection whose request has failed, and no other",
    ),
];

/// The proxy, and the server behind it for as long.
struct Deployment<S> {
    pushpin: Pushpin,
    #[allow(dead_code, reason = "a server ends when it is dropped")]
    server: S,
}

impl<S> Deref for Deployment<S> {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.pushpin
    }
}

fn deploy<S: Deref<Target = Site>>(serve: impl Fn(&[(&str, &str)]) -> S) -> Deployment<S> {
    let ports = Ports::free();
    let url = ports.url();
    let server = serve(&[
        ("GRIP_URL", &url),
        ("GRIP_VERIFY_KEY", KEY),
        ("GRIP_VERIFY_ISS", "pushpin"),
    ]);
    Deployment {
        pushpin: Pushpin::start(&ports, server.address),
        server,
    }
}

fn on_wasmtime(app: &Path) -> Deployment<WasiHttp> {
    let component = super::compose(app, "grip");
    deploy(|environment| WasiHttp::serve(&component, environment))
}

#[test]
fn grip_on_wasmtime() {
    for language in ["rust"] {
        super::check("grip", language, CANNOT, on_wasmtime);
    }
}
