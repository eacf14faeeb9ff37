"""An app: a page at /, and the WebSocket that the page talks to. wit/app.wit documents all events and actions."""

import json
from pathlib import Path

from wit_world import exports
from wit_world.exports.app import (
    Accept,
    Action_Accept,
    Action_Respond,
    Action_Send,
    Action_SetState,
    Event_Message,
    Event_Open,
    Event_Request,
)
from wit_world.imports.types import Message_Text, Response, ResponseHead

# Read when the component is built, as it has no files when it runs.
PAGE = Path(__file__).with_name("page.html").read_bytes()


class App(exports.App):
    # Called for events on a connection. Its state, up to 2,048 bytes, is kept until the next call.
    def handle(self, connection, state, events):
        member = json.loads(state) if state else {"count": 0}
        return [action for event in events for action in self.on(event, member)]

    def on(self, event, member):
        match event:
            case Event_Request(request) if request.target == "/":
                yield html(PAGE)
            case Event_Open():
                yield Action_Accept(Accept(None, fields=[], settings=None))
            case Event_Message(message):
                member["count"] += 1
                yield Action_Send(answer(message, member["count"]))
                yield Action_SetState(json.dumps(member).encode())


def answer(message, count):
    return Message_Text(f"{count} messages") if message == Message_Text("count") else message


def html(body):
    fields = [("Content-Type", b"text/html; charset=utf-8")]
    return Action_Respond(Response(ResponseHead(200, fields), body))
