"""The entry to the component: calls the app, and reports its exceptions, each of which costs one connection only."""

import traceback

import app
from wit_world.exports.app import Action_Fail


class App(app.App):
    def handle(self, connection, state, events):
        try:
            return list(super().handle(connection, state, events))
        except Exception as error:
            # The summary first, since long texts are cut.
            summary = "".join(traceback.format_exception_only(error))
            return [Action_Fail(summary + traceback.format_exc())]
