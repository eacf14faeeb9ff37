#include "actions.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Memory for something that the generated code frees. Out of memory is a trap: the host closes the connections
// with 1011.
static void *allocate(size_t size) {
  void *memory = malloc(size);
  if (memory == NULL && size > 0) abort();
  return memory;
}

// Adds an action. Out of memory is a trap: the host closes the connections with 1011.
static action_t *add(actions_t *actions, uint8_t tag) {
  // Doubled whenever the length is a power of two.
  if ((actions->len & (actions->len - 1)) == 0) {
    size_t capacity = actions->len == 0 ? 1 : actions->len * 2;
    actions->ptr = realloc(actions->ptr, capacity * sizeof *actions->ptr);
    if (actions->ptr == NULL) abort();
  }
  action_t *action = &actions->ptr[actions->len++];
  memset(action, 0, sizeof *action);
  action->tag = tag;
  return action;
}

static void set_text(message_t *message, const char *text) {
  message->tag = EXPORTS_WEBSOCKET_MESSAGE_TEXT;
  wasocket_string_dup(&message->val.text, text);
}

static void set_bytes(wasocket_list_u8_t *bytes, const void *content, size_t size) {
  bytes->ptr = allocate(size);
  bytes->len = size;
  memcpy(bytes->ptr, content, size);
}

void act_accept(actions_t *actions, const char *subprotocol) {
  exports_websocket_accept_t *accept =
      &add(actions, EXPORTS_WEBSOCKET_ACTION_ACCEPT)->val.accept;
  if (subprotocol != NULL) {
    accept->subprotocol.is_some = true;
    wasocket_string_dup(&accept->subprotocol.val, subprotocol);
  }
}

void act_respond(actions_t *actions, uint16_t status, const char *body) {
  http_response_t *response = &add(actions, EXPORTS_WEBSOCKET_ACTION_RESPOND)->val.respond;
  response->head.status = status;
  set_bytes(&response->body, body, strlen(body));
}

void act_respond_html(actions_t *actions, uint16_t status, const char *body) {
  act_respond(actions, status, body);
  http_field_t *type = allocate(sizeof *type);
  wasocket_string_dup(&type->f0, "Content-Type");
  static const char HTML[] = "text/html; charset=utf-8";
  set_bytes(&type->f1, HTML, sizeof HTML - 1);
  actions->ptr[actions->len - 1].val.respond.head.fields = (http_list_field_t){type, 1};
}

void act_send(actions_t *actions, message_t *message) {
  add(actions, EXPORTS_WEBSOCKET_ACTION_SEND)->val.send = *message;
  memset(message, 0, sizeof *message);
}

void act_send_text(actions_t *actions, const char *text) {
  set_text(&add(actions, EXPORTS_WEBSOCKET_ACTION_SEND)->val.send, text);
}

void act_close(actions_t *actions, uint16_t code, const char *reason) {
  exports_websocket_close_reason_t *close =
      &add(actions, EXPORTS_WEBSOCKET_ACTION_CLOSE)->val.close;
  close->code = code;
  wasocket_string_dup(&close->reason, reason);
}

void act_fail(actions_t *actions, const char *reason) {
  wasocket_string_dup(&add(actions, EXPORTS_WEBSOCKET_ACTION_FAIL)->val.fail, reason);
}

void act_set_state(actions_t *actions, const char *state) {
  act_set_state_bytes(actions, state, strlen(state));
}

void act_set_state_bytes(actions_t *actions, const void *state, size_t size) {
  set_bytes(&add(actions, EXPORTS_WEBSOCKET_ACTION_SET_STATE)->val.set_state, state, size);
}

void act_subscribe(actions_t *actions, const char *topic) {
  wasocket_string_dup(&add(actions, EXPORTS_WEBSOCKET_ACTION_SUBSCRIBE)->val.subscribe, topic);
}

void act_unsubscribe(actions_t *actions, const char *topic) {
  wasocket_string_dup(&add(actions, EXPORTS_WEBSOCKET_ACTION_UNSUBSCRIBE)->val.unsubscribe, topic);
}

void act_list_members(actions_t *actions, const char *topic) {
  wasocket_string_dup(&add(actions, EXPORTS_WEBSOCKET_ACTION_LIST_MEMBERS)->val.list_members, topic);
}

void act_subscribe_with(actions_t *actions, subscription_t wanted) {
  exports_websocket_subscription_t *subscription =
      &add(actions, EXPORTS_WEBSOCKET_ACTION_SUBSCRIBE_WITH)->val.subscribe_with;
  wasocket_string_dup(&subscription->topic, wanted.topic);
  if (wanted.after != NULL) {
    subscription->start.tag = HTTP_START_AFTER;
    wasocket_string_dup(&subscription->start.val.after, wanted.after);
  } else if (wanted.last > 0) {
    subscription->start.tag = HTTP_START_LAST;
    subscription->start.val.last = wanted.last;
  }
  subscription->keep.is_some = wanted.keep.count > 0;
  subscription->keep.val = wanted.keep;
  if (wanted.member != NULL) {
    subscription->member.is_some = true;
    set_bytes(&subscription->member.val, wanted.member, strlen(wanted.member));
  }
  subscription->watch_members = wanted.watch_members;
  subscription->receiver = wanted.receiver;
}

static void set_formatted(exports_websocket_publication_t *publication, const char *topic, const char *format,
                          va_list values) {
  wasocket_string_dup(&publication->channel, topic);
  va_list again;
  va_copy(again, values);
  int len = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (len < 0) abort();
  char *text = allocate((size_t)len + 1);
  vsnprintf(text, (size_t)len + 1, format, values);
  publication->message.tag = EXPORTS_WEBSOCKET_MESSAGE_TEXT;
  publication->message.val.text = (wasocket_string_t){(uint8_t *)text, (size_t)len};
}

void act_publish(actions_t *actions, const char *topic, const char *format, ...) {
  va_list values;
  va_start(values, format);
  set_formatted(&add(actions, EXPORTS_WEBSOCKET_ACTION_PUBLISH)->val.publish, topic, format, values);
  va_end(values);
}

void act_publish_to_others(actions_t *actions, const char *topic, const char *format, ...) {
  va_list values;
  va_start(values, format);
  set_formatted(&add(actions, EXPORTS_WEBSOCKET_ACTION_PUBLISH_TO_OTHERS)->val.publish_to_others, topic, format,
                values);
  va_end(values);
}

void act_publish_message(actions_t *actions, const char *topic, message_t *message) {
  exports_websocket_publication_t *publication =
      &add(actions, EXPORTS_WEBSOCKET_ACTION_PUBLISH)->val.publish;
  wasocket_string_dup(&publication->channel, topic);
  publication->message = *message;
  memset(message, 0, sizeof *message);
}
