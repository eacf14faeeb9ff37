"""A chat: everyone connected to /rooms/ROOM?NAME sees what the others say there.

A member's name and number of messages are the state of their connection; the room is a channel.
`/bye`, `/crash` and `/flood` show how an app ends a connection, and how it fails.
"""

import json

from wit_world import exports
from wit_world.exports.app import (
    Accept,
    Action_Accept,
    Action_Close,
    Action_Publish,
    Action_Respond,
    Action_Send,
    Action_SetState,
    Action_Subscribe,
    CloseReason,
    Event_Closed,
    Event_Message,
    Event_Open,
    Event_Request,
    Message_Binary,
    Message_Text,
    Publication,
)
from wit_world.imports.types import Response, ResponseHead


def text(status, body):
    fields = [("Content-Type", b"text/plain; charset=utf-8")]
    return Action_Respond(Response(ResponseHead(status, fields), body.encode()))


def say(room, line):
    return Action_Publish(Publication(room, Message_Text(line)))


class App(exports.App):
    def handle(self, connection, state, events):
        member = json.loads(state) if state else {}
        before = dict(member)
        actions = [action for event in events for action in self.on(event, member)]
        if member != before:
            actions.append(Action_SetState(json.dumps(member).encode()))
        return actions

    def on(self, event, member):
        match event:
            case Event_Request(request) if request.target == "/":
                yield text(200, f"Connect to {request.authority}/rooms/ROOM?NAME\n")
            case Event_Open(request):
                yield from self.open(request, member)
            case Event_Message(Message_Text("/bye")):
                yield Action_Close(CloseReason(1000, "bye"))
            case Event_Message(Message_Text("/crash")):
                raise RuntimeError("the chat crashed")
            case Event_Message(Message_Text("/flood")):
                yield from [Action_Send(Message_Text("!"))] * 1025
            case Event_Message(Message_Text(line)):
                member["said"] += 1
                yield say(member["room"], f"{member['name']} ({member['said']}): {line}")
            case Event_Message(Message_Binary()):
                yield Action_Close(CloseReason(1003, "text only"))
            # Clients that were refused have not joined.
            case Event_Closed(reason) if member:
                yield say(member["room"], f"{member['name']} left ({reason.code})")

    def open(self, request, member):
        path, _, name = request.target.partition("?")
        if not path.startswith("/rooms/"):
            return
        if not name:
            yield text(400, "Who are you? /rooms/ROOM?NAME\n")
            return
        room = path.removeprefix("/rooms/")
        member.update(room=room, name=name, said=0)
        yield Action_Accept(Accept(None, fields=[], settings=None))
        yield Action_Subscribe(room)
        yield say(room, f"{name} joined")
