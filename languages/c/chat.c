// A chat: everyone connected to /rooms/ROOM?NAME sees what the others say there, and who is there.
//
// A member's name and number of messages are the state of their connection. The room is a topic that keeps 50 messages.
// `/bye`, `/crash` and `/flood` show how an app ends a connection, and how it fails.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"

// Long enough for any channel name, and short enough for a state with both names.
enum { MAX_NAME = 128 };

typedef struct {
  char room[MAX_NAME + 1];
  char name[MAX_NAME + 1];
  unsigned said;
  // Whether the member is subscribed without history and members.
  unsigned plain;
} member_t;

static bool is(const wasocket_string_t *text, const char *expected) {
  return text->len == strlen(expected) && memcmp(text->ptr, expected, text->len) == 0;
}

// Splits /rooms/ROOM?NAME. False for other paths, and if a part is too long.
static bool parse_target(const wasocket_string_t *target, member_t *member) {
  char text[2 * MAX_NAME + 16];
  if (target->len >= sizeof text) return false;
  memcpy(text, target->ptr, target->len);
  text[target->len] = '\0';
  // 128 is MAX_NAME.
  return sscanf(text, "/rooms/%128[^?]?%128s", member->room, member->name) >= 1;
}

static void open(const http_request_t *request, member_t *member, actions_t *actions) {
  if (!parse_target(&request->target, member)) return;
  if (member->name[0] == '\0') {
    act_respond(actions, 400, "Who are you? /rooms/ROOM?NAME\n");
    return;
  }
  act_accept(actions, NULL);
  act_subscribe_with(actions, (subscription_t){
    .topic = member->room,
    .last = 50,
    .keep = {.count = 50, .seconds = 86400},
    .member = member->name,
    .watch_members = true,
  });
}

static void say_joined(const member_t *member, actions_t *actions) {
  act_publish(actions, member->room, "%s joined", member->name);
}

// Not every place where an app runs has history and members: the messages alone will do.
static void join_plainly(const topic_refusal_t *refusal, member_t *member, actions_t *actions) {
  if (refusal->operation != HTTP_TOPIC_OPERATION_SUBSCRIBE) return;
  if (member->plain) {
    act_close(actions, 1013, "the room cannot be joined");
    return;
  }
  member->plain = 1;
  act_subscribe(actions, member->room);
  say_joined(member, actions);
}

static void show(const members_t *members, actions_t *actions) {
  size_t size = sizeof "here: ";
  for (size_t i = 0; i < members->members.len; i++) size += members->members.ptr[i].len + 2;
  char *text = malloc(size);
  if (text == NULL) abort();
  char *end = stpcpy(text, "here: ");
  for (size_t i = 0; i < members->members.len; i++) {
    if (i > 0) end = stpcpy(end, ", ");
    memcpy(end, members->members.ptr[i].ptr, members->members.ptr[i].len);
    end += members->members.ptr[i].len;
  }
  *end = '\0';
  act_send_text(actions, text);
  free(text);
}

static void greet(const http_request_t *request, actions_t *actions) {
  const wasocket_string_t *host = &request->authority.val;
  char text[512];
  snprintf(text, sizeof text, "Connect to %.*s/rooms/ROOM?NAME\n", (int)host->len, (const char *)host->ptr);
  act_respond(actions, 200, text);
}

static void hear(const message_t *message, member_t *member, actions_t *actions) {
  const wasocket_string_t *text = &message->val.text;
  if (message->tag != EXPORTS_WEBSOCKET_MESSAGE_TEXT) {
    act_close(actions, 1003, "text only");
  } else if (is(text, "/bye")) {
    act_close(actions, 1000, "bye");
  } else if (is(text, "/crash")) {
    abort();
  } else if (is(text, "/flood")) {
    for (int i = 0; i < 1025; i++) act_send_text(actions, "!");
  } else {
    member->said++;
    act_publish(actions, member->room, "%s (%u): %.*s", member->name, member->said,
                (int)text->len, (const char *)text->ptr);
  }
}

static void on(event_t *event, member_t *member, actions_t *actions) {
  switch (event->tag) {
    case EXPORTS_WEBSOCKET_EVENT_REQUEST:
      if (is(&event->val.request.target, "/")) greet(&event->val.request, actions);
      break;
    case EXPORTS_WEBSOCKET_EVENT_OPEN:
      open(&event->val.open, member, actions);
      break;
    case EXPORTS_WEBSOCKET_EVENT_MESSAGE:
      hear(&event->val.message, member, actions);
      break;
    case EXPORTS_WEBSOCKET_EVENT_CLOSED:
      // Clients that were refused have not joined.
      if (member->name[0] != '\0')
        act_publish(actions, member->room, "%s left (%u)", member->name, event->val.closed.code);
      break;
    case EXPORTS_WEBSOCKET_EVENT_SUBSCRIBED:
      say_joined(member, actions);
      act_list_members(actions, member->room);
      break;
    // In a room of thousands one would send the change, not the list.
    case EXPORTS_WEBSOCKET_EVENT_JOINED:
    case EXPORTS_WEBSOCKET_EVENT_LEFT:
      act_list_members(actions, member->room);
      break;
    case EXPORTS_WEBSOCKET_EVENT_MEMBERS:
      show(&event->val.members, actions);
      break;
    case EXPORTS_WEBSOCKET_EVENT_GAP:
      act_send_text(actions, "some messages may be missing here");
      break;
    case EXPORTS_WEBSOCKET_EVENT_REFUSED:
      join_plainly(&event->val.refused, member, actions);
      break;
  }
}

// The state as bytes: a line each for the room, the name, the number of messages, and whether it is plain.
static void read_state(const wasocket_list_u8_t *state, member_t *member) {
  char text[2 * MAX_NAME + 32];
  if (state->len == 0 || state->len >= sizeof text) return;
  memcpy(text, state->ptr, state->len);
  text[state->len] = '\0';
  sscanf(text, "%128[^\n]\n%128[^\n]\n%u\n%u", member->room, member->name, &member->said, &member->plain);
}

static void write_state(const member_t *member, actions_t *actions) {
  char text[2 * MAX_NAME + 32];
  snprintf(text, sizeof text, "%s\n%s\n%u\n%u", member->room, member->name, member->said, member->plain);
  act_set_state(actions, text);
}

// The app has to free the parameters.
void exports_websocket_handle(wasocket_string_t *connection, wasocket_list_u8_t *state, events_t *events,
                              actions_t *actions) {
  *actions = (actions_t){0};
  member_t member = {0};
  read_state(state, &member);
  for (size_t i = 0; i < events->len; i++) on(&events->ptr[i], &member, actions);
  if (actions->len > 0 && member.name[0] != '\0') write_state(&member, actions);
  wasocket_string_free(connection);
  wasocket_list_u8_free(state);
  exports_websocket_list_event_free(events);
}
