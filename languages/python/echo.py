"""An echo: every message comes back unchanged."""

from wit_world import exports
from wit_world.exports.app import (
    Accept,
    Action_Accept,
    Action_Send,
    Event_Message,
    Event_Open,
)


class App(exports.App):
    def handle(self, connection, state, events):
        return [action for event in events for action in self.on(event)]

    def on(self, event):
        match event:
            case Event_Open():
                yield Action_Accept(Accept("echo", fields=[], settings=None))
            case Event_Message(message):
                yield Action_Send(message)
