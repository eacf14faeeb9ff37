"""Many clients of the app `numbered` (tests/guests/numbered) at once, made with Python's `websockets`. They check that
nothing is lost, doubled, reordered or closed until the end of stdin.

    crowd.py ws://127.0.0.1:PORT

Prints `ready` once the clients that stay are connected, and in the end what they have counted. What they see that must
not be is printed to stderr, and the exit code is 1.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter, deque

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

TIME_LIMIT = 150  # seconds, the whole run
DRAIN_LIMIT = 30  # seconds
STAYING = 300  # clients that stay
ROOM_SIZE = 10
VISITING = 33  # clients that come and go, at any time

if len(sys.argv) != 2:
    sys.exit("usage: crowd.py ws://HOST:PORT")
server = sys.argv[1].removesuffix("/")
stopped = asyncio.Event()
counts = Counter()


def fail(text):
    print("FAILED", text, file=sys.stderr, flush=True)
    os._exit(1)


class Client:
    def __init__(self, name, ws):
        self.name = name
        self.ws = ws
        self.told = 0  # messages, of both kinds
        self.echoes = deque()  # those on their way
        self.own = deque()
        self.said = 0  # by the app
        self.published = 0  # by this client
        self.heard = {}
        self.pings = []
        self.is_first = False  # whether it joined before anyone published in the room
        self.is_leaving = False
        self.reading = asyncio.create_task(self.read())

    @classmethod
    async def join(cls, room, name, compresses):
        compression = "deflate" if compresses else None
        try:
            ws = await connect(
                f"{server}/{room}?{name}",
                compression=compression,
                open_timeout=20,
                close_timeout=DRAIN_LIMIT,
                # This does not check whether it is alive.
                ping_interval=None,
            )
        except Exception as error:
            fail(f"{name} cannot connect: {error!r}")
        return cls(name, ws)

    async def talk(self):
        """Sends messages of all kinds, about one a second."""
        kind = random.randrange(16)
        while not stopped.is_set():
            match kind % 16:
                case 0:
                    await self.say("e", b"long" * (16 << 10))
                case 1 | 9:
                    await self.say("e", "fragment " * 5000, in_fragments=True)
                case 2 | 7 | 12:
                    await self.say("p", "to all")
                case 3 | 11:
                    self.pings.append(await self.ws.ping())
                case 4:
                    await self.say("e", "compressible " * 200)
                case _:
                    await self.say("e", "short")
            kind += 1
            await asyncio.sleep(random.uniform(0.5, 1.5))

    async def say(self, kind, payload, in_fragments=False):
        self.told += 1
        counts["told"] += 1
        (self.own if kind == "p" else self.echoes).append((self.told, payload))
        if kind == "p":
            self.published += 1
            counts["published"] += 1
        head = f"{self.told} {kind}\n"
        message = head.encode() + payload if isinstance(payload, bytes) else head + payload
        try:
            await self.ws.send(fragments(message) if in_fragments else message)
        except ConnectionClosed as closed:
            fail(f"{self.name} cannot send: {closed}")

    async def read(self):
        try:
            while True:
                self.on(await self.ws.recv())
        except ConnectionClosed as closed:
            if not self.is_leaving or closed.rcvd is None or closed.rcvd.code != 1000:
                fail(f"{self.name}: {closed}")

    def on(self, message):
        head, payload = split(message)
        *words, told = head.split(" ")
        if len(words) == 1:
            self.said += 1
            counts["said"] += 1
            self.expect(int(words[0]) == self.said, self.said, head)
            self.next(self.echoes, (int(told), payload))
            return
        counts["heard"] += 1
        name, number = words[0], int(words[1])
        before = self.heard.get(name)
        is_new = before is None and not self.is_first
        self.expect(is_new or number == (before or 0) + 1, (before or 0) + 1, head)
        self.heard[name] = number
        if name == self.name:
            self.next(self.own, (int(told), payload))

    def expect(self, holds, expected, head):
        if not holds:
            fail(f"{self.name} expected number {expected}, got {head!r}")

    def next(self, waiting, got):
        if not waiting or waiting[0] != got:
            fail(f"{self.name} expected the first of {len(waiting)} messages, got {got[0]} of {len(got[1])}")
        waiting.popleft()

    async def drain(self):
        """Waits until everything that is on its way has arrived."""
        await self.wait_until("what is on its way", lambda: not self.echoes and not self.own)
        for pong in self.pings:
            await asyncio.wait_for(pong, DRAIN_LIMIT)
            counts["pongs"] += 1
        self.pings = []

    async def wait_until(self, what, holds):
        for _ in range(DRAIN_LIMIT * 100):
            if holds():
                return
            await asyncio.sleep(0.01)
        fail(f"{self.name} still waits for {what}: {len(self.echoes)} echoes, {len(self.own)} publications")

    async def leave(self):
        self.is_leaving = True
        await self.ws.close()
        await self.reading


async def fragments(message):
    """With pauses between them, and within a long one."""
    for at in range(0, len(message), 10_000):
        yield message[at : at + 10_000]
        await asyncio.sleep(0.02)


def split(message):
    if isinstance(message, str):
        head, _, payload = message.partition("\n")
        return head, payload
    head, _, payload = message.partition(b"\n")
    return head.decode(), payload


async def visit(i):
    """Comes and goes, until the end."""
    visits = 0
    while not stopped.is_set():
        client = await Client.join(f"p{i % (STAYING // ROOM_SIZE)}", f"v{i}-{visits}", visits % 2 == 0)
        for kind in "epee":
            await client.say(kind, "a visit")
            await asyncio.sleep(random.uniform(0, 0.5))
        await client.drain()
        await client.leave()
        visits += 1
        counts["visits"] += 1


async def main():
    clients = []
    for i in range(STAYING):
        client = await Client.join(f"p{i // ROOM_SIZE}", f"p{i}", i % 2 == 0)
        await client.say("e", "here")
        await client.drain()
        client.is_first = True
        clients.append(client)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()

    def wait_for_end():
        sys.stdin.read()
        loop.call_soon_threadsafe(stopped.set)

    reading = loop.run_in_executor(None, wait_for_end)
    await asyncio.gather(*(client.talk() for client in clients), *map(visit, range(VISITING)))
    await reading
    await asyncio.gather(*(client.drain() for client in clients))
    for at in range(0, STAYING, ROOM_SIZE):
        room = clients[at : at + ROOM_SIZE]
        # All publishers have stopped.
        published = {client.name: client.published for client in room if client.published}
        for client in room:
            await client.wait_until(
                "all publications",
                lambda: published.items() <= client.heard.items(),
            )
    await asyncio.gather(*(client.leave() for client in clients))
    print(json.dumps(counts), flush=True)


async def limited():
    try:
        await asyncio.wait_for(main(), TIME_LIMIT)
    except TimeoutError:
        fail(f"not over after {TIME_LIMIT} s")


asyncio.run(limited())
