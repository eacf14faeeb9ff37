// An app: a page at /, and the WebSocket that the page talks to. wit/app.wit documents all events and actions.

#include <stdio.h>
#include <string.h>

#include "actions.h"

static const char PAGE[] = {
#embed "page.html"
    , '\0'};

static bool is(const wasocket_string_t *text, const char *expected) {
  return text->len == strlen(expected) && memcmp(text->ptr, expected, text->len) == 0;
}

static void answer(message_t *message, unsigned count, actions_t *actions) {
  if (message->tag == EXPORTS_WEBSOCKET_MESSAGE_TEXT && is(&message->val.text, "count")) {
    char text[32];
    snprintf(text, sizeof text, "%u messages", count);
    act_send_text(actions, text);
  } else {
    act_send(actions, message);
  }
}

static void on(event_t *event, unsigned *count, actions_t *actions) {
  switch (event->tag) {
    case EXPORTS_WEBSOCKET_EVENT_REQUEST:
      if (is(&event->val.request.target, "/")) act_respond_html(actions, 200, PAGE);
      break;
    case EXPORTS_WEBSOCKET_EVENT_OPEN:
      act_accept(actions, NULL);
      break;
    case EXPORTS_WEBSOCKET_EVENT_MESSAGE:
      ++*count;
      answer(&event->val.message, *count, actions);
      act_set_state_bytes(actions, count, sizeof *count);
      break;
  }
}

// Called for events on a connection. Its state, up to 2,048 bytes, is kept until the next call. The parameters are ours
// to free.
void exports_websocket_handle(wasocket_string_t *connection, wasocket_list_u8_t *state,
                              events_t *events, actions_t *actions) {
  *actions = (actions_t){0};
  unsigned count = 0;
  if (state->len == sizeof count) memcpy(&count, state->ptr, sizeof count);
  for (size_t i = 0; i < events->len; i++) on(&events->ptr[i], &count, actions);
  wasocket_string_free(connection);
  wasocket_list_u8_free(state);
  exports_websocket_list_event_free(events);
}
