//! A test kit for apps on Wasocket: a host without sockets, with a clock that the test controls.
//!
//! A test sends the app plain HTTP requests, opens WebSockets and raw takeovers, and plays the client, the
//! network and the clock. The client is that of the crate `wasocket`: it sends real frames, and checks the
//! app's output as a real client does. The host follows
//! `wit/websocket-handler.wit`; if the app breaks that contract, the test panics and says how.
//!
//! ```
//! use std::time::Duration;
//!
//! use wasocket::{Answer, Request, Response, Sender, Upgrade, WebSocket};
//! use wasocket_test::{Kit, get, websocket};
//!
//! fn handle(request: &Request) -> Answer {
//!     match request.path() {
//!         "/healthz" => Response::text(200, "ok\n").into(),
//!         _ => Upgrade::new().subprotocols(&["chat"]).converse(request, chat),
//!     }
//! }
//!
//! async fn chat(ws: WebSocket) -> Result<(), wasocket::Error> {
//!     while let Some(text) = ws.receive::<String>().await? {
//!         ws.sleep(Duration::from_secs(1)).await;
//!         ws.send(format!("you said {text}")).await?;
//!     }
//!     Ok(())
//! }
//!
//! let kit = Kit::native(handle);
//! kit.request(get("/healthz")).assert_status(200).assert_text("ok\n");
//!
//! let chat = kit.connect(websocket("/chat").subprotocols(&["chat"]));
//! assert_eq!(chat.subprotocol().as_deref(), Some("chat"));
//! chat.send("hello");
//! chat.assert_silent();
//! kit.pass(Duration::from_secs(1));
//! chat.assert_text("you said hello");
//! chat.close(1000, "bye");
//! chat.assert_closed(1000);
//! ```
//!
//! # The component itself
//!
//! `Kit::component` runs the `.wasm` in the runner's engine, with the same memory limit; everything
//! else is the same. In `tests/app.rs` of the app's package:
//!
//! ```no_run
//! # #[cfg(feature = "component")] {
//! use wasocket_test::{Kit, build, websocket};
//!
//! let kit = Kit::component(build(env!("CARGO_PKG_NAME")));
//! let echo = kit.connect(websocket("/"));
//! echo.send("hello");
//! echo.assert_text("hello");
//! # }
//! ```
//!
//! The guest's output appears in the output of the test. A trap fails the test with the guest's backtrace;
//! [`Kit::attempt`] is for tests that expect one.
//!
//! # Simulating the environment
//!
//! | | |
//! |---|---|
//! | Time | [`Kit::pass`]: the app is woken at the instants that it asked for, in order. |
//! | A slow reader | [`Socket::block`], [`Socket::unblock`]: output is not accepted in between. |
//! | A slow network, a silent peer | [`Connection::hold`], [`Connection::release`]. |
//! | A peer that breaks the protocol | [`Socket::send_bytes`], [`Connection::send_frame`]. |
//! | Other instances and machines | [`Bus`], [`Kit::on`], [`Kit::disconnect`], [`Kit::reconnect`]. |
//! | The end | [`Socket::end_of_stream`], [`Socket::lost`], [`Socket::shutdown`], [`Kit::shutdown`]. |
//!
//! # Features
//!
//! - `component`, on by default: `Kit::component` and `build`. Without it (`default-features = false`)
//!   the kit only tests native apps, and builds in seconds.

#![allow(clippy::panic, reason = "how a test fails")]

/// The examples in the documentation compile, and pass.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing-an-app.md")]
struct TestingAnApp;

mod app;
#[cfg(feature = "component")]
mod build;
mod bus;
mod connection;
mod contract;
mod fault;
mod host;
mod kit;
mod request;
mod response;
mod socket;

#[cfg(feature = "component")]
pub use build::build;
pub use bus::Bus;
pub use connection::Connection;
pub use fault::Fault;
pub use kit::{Answer, Kit};
pub use request::{Handshake, RequestBuilder, get, request, websocket};
pub use response::Response;
pub use socket::Socket;
