// The actions of an app, as wit-bindgen wants them: everything in them is on the heap, and is freed by the
// generated code when the caller has read it.
#ifndef ACTIONS_H
#define ACTIONS_H

#include "wasocket.h"

typedef exports_websocket_action_t action_t;
typedef exports_websocket_event_t event_t;
typedef exports_websocket_message_t message_t;
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
void act_subscribe(actions_t *actions, const char *channel);
// Publishes text, formatted as by printf.
void act_publish(actions_t *actions, const char *channel, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
