"""Counts the messages of each connection: the first version. Its state is their number, as text."""

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


class App(exports.App):
    def handle(self, connection, state, events):
        messages = int(state or b"0")
        for event in events:
            match event:
                case Event_Open():
                    yield Action_Accept(Accept(None, fields=[], settings=None))
                case Event_Message():
                    messages += 1
                    yield Action_SetState(f"{messages}".encode())
                    yield Action_Send(Message_Text(f"messages: {messages}"))
