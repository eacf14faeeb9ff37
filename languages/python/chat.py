"""A chat: everyone connected to /rooms/ROOM?NAME sees what the others say there, and who is there.

A member's name and number of messages are the state of their connection. The room is a topic that keeps 50 messages.
`/bye`, `/crash` and `/flood` show how an app ends a connection, and how it fails.
"""

import json

from wit_world import exports
from wit_world.exports.app import (
    Accept,
    Action_Accept,
    Action_Close,
    Action_ListMembers,
    Action_Publish,
    Action_Respond,
    Action_Send,
    Action_SetState,
    Action_Subscribe,
    Action_SubscribeWith,
    CloseReason,
    Event_Closed,
    Event_Gap,
    Event_Joined,
    Event_Left,
    Event_Members,
    Event_Message,
    Event_Open,
    Event_Refused,
    Event_Request,
    Event_Subscribed,
    Publication,
    Receiver,
    Subscription,
)
from wit_world.imports.types import (
    History,
    Message_Binary,
    Message_Text,
    Response,
    ResponseHead,
    Start_Last,
    TopicOperation,
)


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
            case Event_Subscribed():
                yield say(member["room"], f"{member['name']} joined")
                yield Action_ListMembers(member["room"])
            # In a room of thousands one would send the change, not the list.
            case Event_Joined(change) | Event_Left(change):
                yield Action_ListMembers(change.topic)
            case Event_Members(members):
                names = ", ".join(name.decode() for name in members.members)
                yield Action_Send(Message_Text(f"here: {names}"))
            case Event_Gap():
                yield Action_Send(Message_Text("some messages may be missing here"))
            case Event_Refused(refusal) if refusal.operation == TopicOperation.SUBSCRIBE:
                yield from self.join_plainly(member, refusal.reason)

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
        yield Action_SubscribeWith(
            Subscription(
                topic=room,
                start=Start_Last(50),
                keep=History(count=50, seconds=86_400),
                member=name.encode(),
                watch_members=True,
                receiver=Receiver.PEER,
            )
        )

    # Not every place where an app runs has history and members: the messages alone will do.
    def join_plainly(self, member, reason):
        if "plain" in member:
            yield Action_Close(CloseReason(1013, reason))
            return
        member["plain"] = True
        yield Action_Subscribe(member["room"])
        yield say(member["room"], f"{member['name']} joined")
