"""A member of a room that uses only NATS, made with Python's `nats-py`.

    nats_room.py URL LISTEN PUBLISH

Listens on one subject and prints a line for each message: its header and its text. Publishes each line of its input on
the other subject.
"""

import asyncio
import sys

import nats

if len(sys.argv) != 4:
    sys.exit("usage: nats_room.py URL LISTEN PUBLISH")
url, listen, publish = sys.argv[1:]


async def show(message):
    kind = (message.headers or {}).get("Wasocket", "-").split(" ")
    print(" ".join(kind[:2]), message.data.decode(), flush=True)


async def main():
    connection = await nats.connect(url)
    await connection.subscribe(listen, cb=show)
    await connection.flush()
    print("listening", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await connection.publish(publish, line.rstrip("\n").encode())
        await connection.flush()
    await connection.close()


asyncio.run(main())
