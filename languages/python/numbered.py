"""Numbers what each connection is told, what it says and what it publishes, for the tests of new versions. The same app as
tests/guests/numbered, which says more."""

from wit_world import exports
from wit_world.exports.app import (
    Accept,
    Action_Accept,
    Action_Close,
    Action_Publish,
    Action_Send,
    Action_SetState,
    Action_Subscribe,
    CloseReason,
    Event_Message,
    Event_Open,
    Origins_Same,
    Publication,
    Settings,
)
from wit_world.imports.types import Message_Binary, Message_Text


class App(exports.App):
    def handle(self, connection, state, events):
        if state:
            room, name, *numbers = state.decode().split(" ")
            told, sent, published = map(int, numbers)
        for event in events:
            match event:
                case Event_Open(request):
                    room, _, name = request.target.removeprefix("/").partition("?")
                    told = sent = published = 0
                    settings = Settings(Origins_Same(), compress=True, max_message_size=1 << 20)
                    yield Action_Accept(Accept(None, fields=[], settings=settings))
                    yield Action_Subscribe(room)
                case Event_Message(message):
                    told += 1
                    head, payload = split(message)
                    if head == f"{told} e":
                        sent += 1
                        yield Action_Send(joined(f"{sent} {told}\n", payload))
                    elif head == f"{told} p":
                        published += 1
                        line = f"{name} {published} {told}\n"
                        yield Action_Publish(Publication(room, joined(line, payload)))
                    else:
                        reason = f"expected {told}, got {head}"
                        yield Action_Close(CloseReason(4000, reason))
                case _:
                    continue
            yield Action_SetState(f"{room} {name} {told} {sent} {published}".encode())


def split(message):
    """The first line, and what follows it: text or bytes."""
    if isinstance(message, Message_Text):
        head, _, payload = message.value.partition("\n")
        return head, payload
    head, _, payload = message.value.partition(b"\n")
    return head.decode(), payload


def joined(head, payload):
    if isinstance(payload, str):
        return Message_Text(head + payload)
    return Message_Binary(head.encode() + payload)
