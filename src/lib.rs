//! WebSockets for WebAssembly components: the opening handshake and the framing of RFC 6455, without
//! I/O.
//!
//! A host runner (binary `wasocket`) owns the socket and knows nothing of RFC 6455; a component built
//! on this crate knows RFC 6455 and nothing of sockets. Between the two stands one WIT interface,
//! `wasocket:websocket/websocket-handler`.
//!
//! # An app
//!
//! An `async` function on a [`WebSocket`], compiled for `wasm32-wasip2` as a `cdylib`, is a whole
//! component:
//!
//! ```
//! use wasocket::{Error, WebSocket, websocket};
//!
//! async fn greet(ws: WebSocket) -> Result<(), Error> {
//!     while let Some(name) = ws.receive::<String>().await? {
//!         ws.send(format!("Hello, {name}!")).await?;
//!     }
//!     Ok(())
//! }
//!
//! wasocket::export!(websocket(greet));
//! ```
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2
//! wasocket serve target/wasm32-wasip2/release/greet.wasm    # on http://127.0.0.1:1234/
//! ```
//!
//! There are three layers, each made of the one below:
//!
//! - An [`App`] answers requests: [`websocket`] and [`Upgrade::serve`] make one of a function, `Router`
//!   one of several, [`decide`] one of a function that awaits something before it answers, and a function
//!   from a [`Request`] to an [`Answer`] or a [`Response`] is one.
//! - [`Upgrade`] answers one request with the opening handshake: origins, subprotocols, compression,
//!   limits; and then has a function converse, or a [`Handler`] called for each event.
//! - [`Answer::takeover`] hands the raw socket to a [`RawHandler`].
//!
//! Beside them stands the event form, [`events`]: no connection and no future, but events and actions, which
//! is what apps in other languages are written in, too.
//!
//! # The protocol alone
//!
//! [`Connection`] is the state machine behind it, for native use, tests and fuzzing: bytes and the
//! time in, [`Event`]s and bytes out.
//!
//! ```
//! use wasocket::{Connection, Event, Instant, Limits, Message};
//!
//! let mut connection = Connection::server(Limits::default());
//! // RFC 6455 §5.7: a single-frame masked text message.
//! let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! connection.receive_bytes(Instant::from_nanos(0), &frame[..]);
//! assert_eq!(connection.next_event(), Some(Event::Message("Hello".into())));
//! connection.send_text("Hello")?;
//! assert_eq!(connection.take_output(), b"\x81\x05Hello");
//! # Ok::<(), wasocket::UsageError>(())
//! ```
//!
//! A client's side is [`ClientSession`], from the request to the end.
//!
//! # Scope
//!
//! RFC 6455 in both roles, and its extension permessage-deflate (RFC 7692, [`extension`]). Not yet:
//! WebSockets over HTTP/2 (RFC 8441). Not at all: sockets, TLS, HTTP parsing on the server's side,
//! clocks and randomness, all of which are the host's.
//!
//! # Features
//!
//! - `json` (default): values as messages, [`Json`].
//! - `router` (default): `Router`. Brings `std`.
//! - `http`: requests to backends, `http`. The component then imports `wasi:http`.
//! - `tcp`: connections to other servers, `tcp`. Implies `futures-io`.
//! - `futures`: [`Receiver`] is a `Stream` of messages, [`Sender`] a `Sink`.
//! - `futures-io`: a connection as a stream of bytes, `ByteStream`. Implies `std`.
//! - `composed`: `export_events!` exports `app`, to be composed with the protocol.
//! - `bare`: for `#![no_std]` apps, without the default features. Brings an allocator and a panic handler,
//!   so that the component imports nothing, not even the parts of WASI that `std` does.

#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod app;
#[cfg(target_family = "wasm")]
pub mod component;
pub mod events;
#[cfg(feature = "grip")]
pub mod grip;
mod head;
#[cfg(feature = "outside")]
mod outside;
mod protocol;
mod raw_stream;
mod session;
mod web_socket;

#[cfg(feature = "router")]
pub use app::Router;
pub use app::{
    Answer, App, Deliberation, Takeover, Undecided, Upgrade, Verdict, decide, resume, suspend,
    websocket,
};
pub use head::{Fields, HttpVersion, NotSingle, Request, Response, ResponseHead};
#[cfg(feature = "http")]
pub use outside::http;
#[cfg(feature = "tcp")]
pub use outside::tcp;
pub use protocol::frame::MaskingKeys;
pub use protocol::handshake::{
    ClientError, ClientHandshake, ClientRequest, ClientRequestError, HandshakeError, Negotiated,
    Origins, accept_key, read_response_head,
};
pub use protocol::{
    Ceiling, CloseCode, CloseReason, Closed, Closing, Connection, Disposition, Event, Initiator,
    Instant, Limits, Message, MessageType, Piece, Prepared, ProtocolError, Report, ResumeError,
    UsageError, extension, frame,
};
pub use raw_stream::{RawError, RawStream, takeover};
pub use session::{
    ClientEvent, ClientSession, ConnectionId, Effects, Elapsed, Handler, RawHandler, RawSocket,
    ReadyList, Refused, Resumed, Resumer, Session, ShutdownReason, Suspended,
};
#[cfg(feature = "futures-io")]
pub use web_socket::ByteStream;
pub use web_socket::{
    CodecError, Error, Failure, FromMessage, Interval, IntoMessage, Json, MessageReader,
    MessageWriter, Outcome, Receiver, Sender, Sleep, TrySendError, Uncompressed, WebSocket,
};

/// The examples in the documentation compile.
#[cfg(all(doctest, feature = "json", feature = "router"))]
mod documentation {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/porting-from-go.md")]
    struct PortingFromGo;
    #[doc = include_str!("../docs/security.md")]
    struct Security;
    #[doc = include_str!("../docs/writing-an-app.md")]
    struct WritingAnApp;
    #[doc = include_str!("../docs/languages/rust.md")]
    struct Rust;
}

/// Exports an [`App`] as the component's `websocket-handler`: a function, a `Router`, or any expression
/// that makes one, which is done once in an instance, at its first request. Once in a crate; without
/// effect where the target is not WebAssembly.
#[macro_export]
macro_rules! export {
    ($app:expr) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || {
            fn is_app(_: impl $crate::App) {}
            is_app($app);
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            static APP: $crate::component::Once<dyn $crate::App> = $crate::component::Once::new();

            struct Exported;

            impl $crate::component::Exported for Exported {
                fn app() -> &'static dyn $crate::App {
                    APP.get(|| $crate::component::boxed($app))
                }
            }

            type Adapter = $crate::component::Adapter<Exported>;
            $crate::component::bindings::handler::export_handler!(
                Adapter with_types_in $crate::component::bindings::handler
            );
        };
    };
}

/// Exports the client's side of the protocol as the component's `websocket-client`. Once in a crate;
/// without effect where the target is not WebAssembly.
#[macro_export]
macro_rules! export_client {
    () => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::component::ClientAdapter;
            $crate::component::bindings::client::export_client!(
                ClientAdapter with_types_in $crate::component::bindings::client
            );
        };
    };
}

/// Exports an [`EventApp`](events::EventApp) as the component's `app`, to be composed with the protocol: an
/// expression that makes one, which is done once in an instance. Once in a crate; without effect where the
/// target is not WebAssembly.
#[macro_export]
macro_rules! export_app {
    ($app:expr) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn() = || {
            fn is_app(_: impl $crate::events::EventApp) {}
            is_app($app);
        };

        #[cfg(target_family = "wasm")]
        const _: () = {
            static APP: $crate::component::Once<dyn $crate::events::EventApp> =
                $crate::component::Once::new();

            struct Exported;

            impl $crate::component::ExportedApp for Exported {
                fn app() -> &'static dyn $crate::events::EventApp {
                    APP.get(|| $crate::component::boxed_events($app))
                }
            }

            type Adapter = $crate::component::AppAdapter<Exported>;
            $crate::component::bindings::application::export_application!(
                Adapter with_types_in $crate::component::bindings::application
            );
        };
    };
}

/// Exports an [`EventApp`](events::EventApp) in the way that the features of this crate say: fused with the
/// protocol, as the component's `websocket-handler`; or with feature `composed` as `app`, to be composed with
/// it. Once in a crate.
#[cfg(not(feature = "composed"))]
#[macro_export]
macro_rules! export_events {
    ($app:expr) => {
        $crate::export!($crate::events::events($app));
    };
}

/// Exports an [`EventApp`](events::EventApp) in the way that the features of this crate say: fused with the
/// protocol, as the component's `websocket-handler`; or with feature `composed` as `app`, to be composed with
/// it. Once in a crate.
#[cfg(feature = "composed")]
#[macro_export]
macro_rules! export_events {
    ($app:expr) => {
        $crate::export_app!($app);
    };
}

/// Exports the protocol alone as the component's `websocket-handler`, which serves the app that is imported
/// as `app`. Once in a crate; without effect where the target is not WebAssembly.
#[macro_export]
macro_rules! export_protocol {
    () => {
        #[cfg(target_family = "wasm")]
        $crate::export!($crate::events::events($crate::component::ImportedApp));
    };
}
