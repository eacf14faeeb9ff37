//! The behaviour of every host of `websocket-handler`, such as `wasocket serve` and `components/server`: tables
//! whose rows are checked by a client on a socket.

mod connections;
mod faults;
mod frames;
mod handshakes;
mod http;
mod timeouts;

use crate::app_behaviours::Behaviour;

use connections::{
    connections_are_independent, each_connection_gets_its_own_messages, hijack_speaks_raw_tcp,
};
use faults::{
    a_peer_that_answers_no_pings_is_disconnected, a_slow_reader_gets_everything,
    a_slow_reader_gets_the_whole_response_before_the_close,
    a_status_without_content_is_sent_without, an_invalid_response_of_the_app_becomes_500,
    exceeding_the_apps_message_rate_ends_the_connection,
};
use frames::{accepts_input_byte_by_byte, frame_vectors, frame_vectors_sent_with_the_request_head};
use handshakes::{
    a_handshake_may_be_pipelined, bytes_after_a_refused_upgrade_get_no_answer, handshake_vectors,
};
use http::{
    a_body_of_known_length_keeps_the_connection_open, a_slow_request_head_times_out,
    an_incomplete_request_head_is_refused, an_upgrade_to_another_protocol_closes_the_connection,
    plain_http_keeps_the_connection_open, the_default_app_answers_plain_http,
};

pub use timeouts::{
    a_peer_that_stops_reading_is_disconnected, decisions_may_take_time_up_to_the_limit,
};

/// The behaviour of a host that serves the default app, `examples/echo`.
pub const DEFAULT_APP: &[Behaviour] = &[
    ("the vectors of opening handshakes", handshake_vectors),
    (
        "bytes after a refused upgrade get no answer",
        bytes_after_a_refused_upgrade_get_no_answer,
    ),
    ("the vectors of frames", frame_vectors),
    (
        "the vectors of frames, sent with the request head",
        frame_vectors_sent_with_the_request_head,
    ),
    ("input may come byte by byte", accepts_input_byte_by_byte),
    ("plain HTTP is answered", the_default_app_answers_plain_http),
    (
        "plain HTTP keeps the connection open",
        plain_http_keeps_the_connection_open,
    ),
    (
        "an upgrade to another protocol closes the connection",
        an_upgrade_to_another_protocol_closes_the_connection,
    ),
    (
        "a body of known length keeps the connection open",
        a_body_of_known_length_keeps_the_connection_open,
    ),
    ("a handshake may be pipelined", a_handshake_may_be_pipelined),
    (
        "a slow request head times out",
        a_slow_request_head_times_out,
    ),
    (
        "an incomplete request head is refused",
        an_incomplete_request_head_is_refused,
    ),
    ("hijack speaks raw TCP", hijack_speaks_raw_tcp),
    ("connections are independent", connections_are_independent),
    (
        "each connection gets its own messages",
        each_connection_gets_its_own_messages,
    ),
];

/// The behaviour of a host that serves the guest `faults`, which does what no component should.
pub const FAULTS: &[Behaviour] = &[
    (
        "an invalid response of the app becomes 500",
        an_invalid_response_of_the_app_becomes_500,
    ),
    (
        "a status without content is sent without",
        a_status_without_content_is_sent_without,
    ),
    (
        "a slow reader gets everything",
        a_slow_reader_gets_everything,
    ),
    (
        "a slow reader gets the whole response before the close",
        a_slow_reader_gets_the_whole_response_before_the_close,
    ),
    (
        "a peer that answers no pings is disconnected",
        a_peer_that_answers_no_pings_is_disconnected,
    ),
    (
        "exceeding the app's message rate ends the connection",
        exceeding_the_apps_message_rate_ends_the_connection,
    ),
];

/// A Ping, which every endpoint answers, and the Pong it must get.
const PING: &[u8] = b"\x89\x83\0\0\0\0end";

const PONG: &[u8] = b"\x8a\x03end";
