"""Counts the messages of each connection, and their bytes: the second version. Both numbers are the state, as text."""

from wit_world import exports
from wit_world.exports.app import (
    Accept,
    Action_Accept,
    Action_Send,
    Action_SetState,
    Event_Message,
    Event_Open,
)
from wit_world.imports.types import Message_Text


def read(state):
    """Also reads the state of the first version, which did not count the bytes. Fails on anything else."""
    messages, _, size = state.partition(b" ")
    return int(messages or 0), int(size or 0)


class App(exports.App):
    def handle(self, connection, state, events):
        messages, size = read(state)
        for event in events:
            match event:
                case Event_Open():
                    yield Action_Accept(Accept(None, fields=[], settings=None))
                case Event_Message(message):
                    messages += 1
                    text = message.value
                    size += len(text.encode() if isinstance(text, str) else text)
                    yield Action_SetState(f"{messages} {size}".encode())
                    yield Action_Send(Message_Text(f"messages: {messages}, bytes: {size}"))
