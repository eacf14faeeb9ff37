"""An echo server made with Python's `websockets`, for `wasocket connect`.

    server.py

tests/peers/run describes its paths.
"""

import asyncio
import os
import sys
import threading

from websockets.asyncio.server import serve

TIME_LIMIT = 50  # seconds, the whole run
MESSAGE_LIMIT = 8 << 20
BIG = ("Gruß 世界🦀" * (1 << 16)).encode()  # 1 MiB
FRAGMENT = 10_007  # bytes, so that characters are split


async def converse(ws):
    path = ws.request.path
    if path == "/close":
        await ws.close(4321, "enough")
        return
    if path == "/big":
        starts = range(0, len(BIG), FRAGMENT)
        await ws.send([BIG[start : start + FRAGMENT] for start in starts], text=True)
    async for message in ws:
        await ws.send(message)


def refuse(ws, request):
    return ws.respond(403, "not for you\n") if request.path == "/refuse" else None


def select_subprotocol(_, offered):
    # Not the option `subprotocols`, which refuses clients that offer none.
    return "chat" if "chat" in offered else None


def end_with_stdin():
    # Not sys.stdin: its lock would be held when the time limit ends the interpreter.
    while os.read(0, 4096):
        pass
    os._exit(0)


async def main():
    # Compression is on by default, and for messages of every size.
    async with serve(
        converse,
        "127.0.0.1",
        0,
        max_size=MESSAGE_LIMIT,
        process_request=refuse,
        select_subprotocol=select_subprotocol,
    ) as server:
        host, port = server.sockets[0].getsockname()
        print(f"ws://{host}:{port}", flush=True)
        await asyncio.sleep(TIME_LIMIT)


threading.Thread(target=end_with_stdin, daemon=True).start()
asyncio.run(main())
sys.exit(f"still serving after {TIME_LIMIT} s")
