// The actions of an app, as wit-bindgen wants them: everything in them is on the heap, and is freed by the
// generated code when the caller has read it.
#ifndef ACTIONS_H
#define ACTIONS_H

#include "wasocket.h"

// The kinds of messages under the names of the interface that apps use.
#define EXPORTS_WEBSOCKET_MESSAGE_TEXT HTTP_MESSAGE_TEXT
#define EXPORTS_WEBSOCKET_MESSAGE_BINARY HTTP_MESSAGE_BINARY

typedef exports_websocket_action_t action_t;
typedef exports_websocket_event_t event_t;
typedef exports_websocket_message_t message_t;
typedef exports_websocket_members_t members_t;
typedef exports_websocket_topic_refusal_t topic_refusal_t;
typedef http_history_t history_t;
typedef exports_websocket_list_action_t actions_t;
typedef exports_websocket_list_event_t events_t;

// Completes the opening handshake; `subprotocol` may be NULL.
void act_accept(actions_t *actions, const char *subprotocol);
// Answers a request with text.
void act_respond(actions_t *actions, uint16_t status, const char *body);
// Answers a request with a page.
void act_respond_html(actions_t *actions, uint16_t status, const char *body);
// Sends a message, which is moved out of `message`.
void act_send(actions_t *actions, message_t *message);
void act_send_text(actions_t *actions, const char *text);
void act_close(actions_t *actions, uint16_t code, const char *reason);
// Says that the app has failed, and why: closes with 1011, or answers with status 500. The text is for the log.
void act_fail(actions_t *actions, const char *reason);
void act_set_state(actions_t *actions, const char *state);
void act_set_state_bytes(actions_t *actions, const void *state, size_t size);
void act_subscribe(actions_t *actions, const char *topic);
void act_unsubscribe(actions_t *actions, const char *topic);
// Publishes text, formatted as by printf.
void act_publish(actions_t *actions, const char *topic, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// The same, to all but this peer.
void act_publish_to_others(actions_t *actions, const char *topic, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Publishes a message, which is moved out of `message`.
void act_publish_message(actions_t *actions, const char *topic, message_t *message);

// How to subscribe; what is left out is as for `act_subscribe`.
typedef struct {
  const char *topic;
  // Starts with the latest publications in history, at most this number.
  uint32_t last;
  // Starts with the publication after this position, rather than the next one.
  const char *after;
  // The history that the topic should have, within the operator's bounds.
  history_t keep;
  // What others see of this connection as a member: at most 256 bytes. NULL: it is no member.
  const char *member;
  // Whether to be told by the events `joined` and `left`.
  bool watch_members;
  // Who is given what is published: the peer, unless it is set to EXPORTS_WEBSOCKET_RECEIVER_PEER_WITH_POSITION or
  // EXPORTS_WEBSOCKET_RECEIVER_APP.
  exports_websocket_receiver_t receiver;
} subscription_t;

// The event `subscribed` follows, or `refused`.
void act_subscribe_with(actions_t *actions, subscription_t subscription);
// The event `members` follows, or `refused`.
void act_list_members(actions_t *actions, const char *topic);

#endif
