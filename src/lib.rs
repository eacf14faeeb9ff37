//! WebSockets for WebAssembly components: the opening handshake and the framing of RFC 6455, without
//! I/O.
//!
//! A host runner (binary `wasocket`) owns the socket and knows nothing of RFC 6455; a component built
//! on this crate knows RFC 6455 and nothing of sockets. They meet in one WIT interface,
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
//! There are three layers, each built on the next:
//!
//! - An [`App`] answers requests: a function from a [`Request`] to an [`Answer`] or a [`Response`]; a function
//!   on a WebSocket ([`websocket`], [`Upgrade::serve`]); a function that awaits something before it answers
//!   ([`decide`]); or a `Router` of other apps.
//! - [`Upgrade`] answers one request with the opening handshake: origins, subprotocols, compression, limits.
//!   Then a function converses on the connection, or a [`Handler`] is called for each event.
//! - [`Answer::takeover`] hands the raw socket to a [`RawHandler`].
//!
//! Apps can also use the event form, [`events`]: instead of a connection and a future, it has events and
//! actions. Apps in other languages are written in this form, too.
//!
//! # The protocol alone
//!
//! [`Connection`] is the state machine underneath, for native use, tests and fuzzing: bytes and the time in,
//! [`Event`]s and bytes out.
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
//! [`ClientSession`] is the client's side, from the request to the end.
//!
//! # Scope
//!
//! RFC 6455 in both roles, over HTTP/1.1 and, on the server's side, over HTTP/2 and HTTP/3 (RFC 8441, RFC 9220);
//! and its extension permessage-deflate (RFC 7692, [`extension`]). Sockets, TLS, HTTP parsing on the server's
//! side, clocks and randomness are the host's.
//!
//! # The source
//!
//! One folder for each subject. Imports between folders go up this list only, never down:
//!
//! | Folder | Contents |
//! |---|---|
//! | `head` | the heads of HTTP requests and responses |
//! | `protocol` | RFC 6455 and RFC 7692 without an app: frames, messages, extensions, the handshake, [`Connection`] |
//! | `topics` | what a connection wants of topics, and what it is told |
//! | `session` | one socket as the host calls it: [`Session`], the handlers and futures that serve it, [`ClientSession`] |
//! | `outside` | waiting for HTTP backends and TCP servers |
//! | `web_socket` | the async API of a connection: [`WebSocket`], [`Sender`], [`Receiver`] |
//! | `app` | answering requests: [`App`], [`Upgrade`], `Router`, [`decide`]; suspending connections |
//! | `raw_stream` | the async API of a raw socket: [`RawStream`] |
//! | `events` | the event form of an app |
//! | `grip` | the event form behind a GRIP proxy |
//! | `component` | adapters to the WIT bindings |
//!
//! To follow one message, read `session/web_socket.rs` (the host's call), `protocol/connection/receive.rs` (bytes
//! to events), then `protocol/connection/send.rs` (the answer).
//!
//! # Features
//!
//! - `json` (default): values as messages, [`Json`].
//! - `router` (default): `Router`. Enables `std`.
//! - `http`: requests to backends, `http`. The component then imports `wasi:http`.
//! - `tcp`: connections to other servers, `tcp`. Implies `futures-io`.
//! - `futures`: [`Receiver`] is a `Stream` of messages, [`Sender`] a `Sink`.
//! - `futures-io`: a connection as a stream of bytes, `ByteStream`. Implies `std`.
//! - `composed`: `export_events!` exports `app`, to be composed with the protocol.
//! - `grip`: the event form behind a GRIP proxy, `grip`.
//! - `bare`: for `#![no_std]` apps, without the default features. Adds an allocator and a panic handler, so that
//!   the component imports nothing, not even the parts of WASI that `std` needs.

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
pub mod topics;
mod web_socket;

#[cfg(feature = "router")]
pub use app::Router;
pub use app::{
    Answer, App, PendingRequest, PollResult, Takeover, Upgrade, Verdict, decide, resume, suspend,
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
    CloseCode, CloseReason, Closed, Closing, Connection, Disposition, Event, Initiator, Instant,
    Limits, Message, MessageLimits, MessageType, Piece, Prepared, ProtocolError, Report,
    ResumeError, UsageError, extension, frame,
};
pub use raw_stream::{RawError, RawStream, takeover};
pub use session::{
    ClientEvent, ClientSession, ConnectionId, Deliver, Delivered, Deliveries, Effects, Elapsed,
    Handler, Keepalive, RawHandler, RawSocket, ReadyList, Refused, Resumed, Resumer, Session,
    ShutdownReason, Suspended, Suspension,
};
#[cfg(feature = "futures-io")]
pub use web_socket::ByteStream;
pub use web_socket::{
    CodecError, Error, Failure, FromMessage, Interval, IntoMessage, Json, MessageReader,
    MessageWriter, Outcome, Published, Receiver, Sender, Sleep, TrySendError, Uncompressed,
    WebSocket,
};

/// The examples in the documentation compile.
#[cfg(all(doctest, feature = "json", feature = "router"))]
mod documentation {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/porting-from-go.md")]
    struct PortingFromGo;
    #[doc = include_str!("../docs/rooms.md")]
    struct Rooms;
    #[doc = include_str!("../docs/security.md")]
    struct Security;
    // Its examples make requests to backends.
    #[cfg(feature = "http")]
    #[doc = include_str!("../docs/writing-an-app.md")]
    struct WritingAnApp;
    #[doc = include_str!("../docs/live.md")]
    struct Live;
    #[doc = include_str!("../docs/languages/rust.md")]
    struct Rust;
}

/// Exports an [`App`] as the component's `websocket-handler`: a function, a `Router`, or any expression that
/// makes one. The expression is evaluated once per instance, at its first request. Use it once per crate; it has
/// no effect if the target is not WebAssembly.
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

/// Exports the client's side of the protocol as the component's `websocket-client`. Use it once per crate; it has
/// no effect if the target is not WebAssembly.
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

/// Exports an [`EventApp`](events::EventApp) as the component's `app`, to be composed with the protocol: any
/// expression that makes one. The expression is evaluated once per instance. Use it once per crate; it has no
/// effect if the target is not WebAssembly.
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

/// Exports an [`EventApp`](events::EventApp) in the form that this crate's features select: fused with the
/// protocol, as the component's `websocket-handler`; or, with feature `composed`, as `app`, to be composed with
/// the protocol. Use it once per crate.
#[cfg(not(feature = "composed"))]
#[macro_export]
macro_rules! export_events {
    ($app:expr) => {
        $crate::export!($crate::events::events($app));
    };
}

/// Exports an [`EventApp`](events::EventApp) in the form that this crate's features select: fused with the
/// protocol, as the component's `websocket-handler`; or, with feature `composed`, as `app`, to be composed with
/// the protocol. Use it once per crate.
#[cfg(feature = "composed")]
#[macro_export]
macro_rules! export_events {
    ($app:expr) => {
        $crate::export_app!($app);
    };
}

/// Exports the protocol alone as the component's `websocket-handler`, which serves the app that the component
/// imports as `app`. Use it once per crate; it has no effect if the target is not WebAssembly.
#[macro_export]
macro_rules! export_protocol {
    () => {
        #[cfg(target_family = "wasm")]
        $crate::export!($crate::events::events($crate::component::ImportedApp));
    };
}
