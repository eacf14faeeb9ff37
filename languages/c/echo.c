// An echo: every message comes back unchanged.

#include "actions.h"

static void answer(event_t *event, actions_t *actions) {
  switch (event->tag) {
    case EXPORTS_WEBSOCKET_EVENT_OPEN:
      act_accept(actions, "echo");
      break;
    case EXPORTS_WEBSOCKET_EVENT_MESSAGE:
      act_send(actions, &event->val.message);
      break;
  }
}

// The app has to free the parameters.
void exports_websocket_handle(wasocket_string_t *connection, wasocket_list_u8_t *state, events_t *events,
                              actions_t *actions) {
  *actions = (actions_t){0};
  for (size_t i = 0; i < events->len; i++) answer(&events->ptr[i], actions);
  wasocket_string_free(connection);
  wasocket_list_u8_free(state);
  exports_websocket_list_event_free(events);
}
