"""A client of the default app, made with Python's `websockets`.

    client.py ws://127.0.0.1:PORT

Prints one line per check and stops at the first failure.
"""

import asyncio
import os
import random
import signal
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame

TIME_LIMIT = 50  # seconds, the whole run
EXCHANGE_LIMIT = 10  # seconds, one answer
MESSAGE_LIMIT = 1 << 20  # the server's default

if len(sys.argv) != 2:
    sys.exit("usage: client.py ws://HOST:PORT")
server = sys.argv[1].removesuffix("/")
COMPRESSIONS = ["deflate", None]
checks = {}
running = None


def check(name):
    return lambda function: checks.setdefault(name, function)


@check("permessage-deflate is used if it is offered, without context takeover")
async def _():
    async with open_echo() as ws:
        assert ws.response.headers["Sec-WebSocket-Extensions"] == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        )
        (deflate,) = ws.protocol.extensions
        assert deflate.local_no_context_takeover and deflate.remote_no_context_takeover
    async with open_echo(compression=None) as ws:
        assert "Sec-WebSocket-Extensions" not in ws.response.headers


@check("a long message comes back compressed, an incompressible or short one uncompressed")
async def _():
    async with open_echo() as ws:
        frames = record_frames(ws)
        for message, is_compressed in [
            ("compressible " * 10_000, True),
            (bytes(MESSAGE_LIMIT), True),
            (random.randbytes(100_000), False),
            ("short", False),
        ]:
            await expect_echo(ws, message)
            assert {frame.rsv1 for frame in frames} == {is_compressed}, frames
            size = sum(len(frame.data) for frame in frames)
            assert size < len(message) / 50 if is_compressed else size == len(message), size
            frames.clear()


@check("the compressor does not refer back beyond the window that the client asks for")
async def _():
    # The first blocks repeat beyond 512 bytes, the last beyond 16 KiB: a compressor that took a larger
    # window than agreed would refer to them.
    message = random.randbytes(700) * 20 + random.randbytes(20_000) * 3
    compressed_sizes = []
    for bits in [8, 9, 10, 12, 15]:
        factory = ClientPerMessageDeflateFactory(server_max_window_bits=bits, client_max_window_bits=True)
        async with open_echo(compression=None, extensions=[factory]) as ws:
            (deflate,) = ws.protocol.extensions
            assert deflate.remote_max_window_bits == bits
            frames = record_frames(ws)
            # zlib at this end has a window of this size, and fails for a distance beyond it.
            await expect_echo(ws, message)
            compressed_sizes.append(sum(len(frame.data) for frame in frames))
    assert compressed_sizes[0] > compressed_sizes[2] > compressed_sizes[4], compressed_sizes


@check("text and binary messages come back from /echo, at each payload length encoding")
async def _():
    for compression in COMPRESSIONS:
        async with open_echo(compression=compression) as ws:
            for length in [0, 1, 125, 126, 65535, 65536, MESSAGE_LIMIT]:
                await expect_echo(ws, "ü" * (length // 2))
                await expect_echo(ws, bytes(length))
                await expect_echo(ws, random.randbytes(length))


@check("a message sent in fragments, empty ones among them, comes back whole")
async def _():
    crab = "🦀".encode()
    for compression in COMPRESSIONS:
        async with open_echo(compression=compression) as ws:
            await ws.send(["Grüße, ", "", "世界 ", "again and " * 1000, "again"])
            assert await answer(ws) == "Grüße, 世界 " + "again and " * 1000 + "again"
            # A character split between fragments.
            await ws.send([b"", crab[:1], crab[1:3], crab[3:]], text=True)
            assert await answer(ws) == "🦀"
            await ws.send([b"ab"] * 500)
            assert await answer(ws) == b"ab" * 500


@check("a ping is answered with its payload, also between fragments; the latency is known")
async def _():
    for compression in COMPRESSIONS:
        async with open_echo(compression=compression) as ws:

            async def with_pings():
                for payload in ["", "still there?", "x" * 125]:
                    yield payload
                    # The future belongs to this payload: only its own pong resolves it.
                    latency = await asyncio.wait_for(await ws.ping(payload), EXCHANGE_LIMIT)
                    assert 0 < latency < EXCHANGE_LIMIT

            await ws.send(with_pings())
            assert await answer(ws) == "still there?" + "x" * 125


@check("the server echoes the close code, then drops TCP")
async def _():
    for compression in COMPRESSIONS:
        for code in [1000, 1001, 3000, 4999]:
            async with open_echo(compression=compression) as ws:
                await ws.close(code, "Auf Wiederhören")
                closed = ws.protocol.close_exc
                assert (closed.sent.code, closed.sent.reason) == (code, "Auf Wiederhören")
                assert closed.rcvd is not None, "no close frame"
                assert closed.rcvd.code == code, closed
                assert not closed.rcvd_then_sent
                assert ws.protocol.eof_sent, "no end of stream from the server"


@check("the server fails the connection with 1009 for a message over its limit")
async def _():
    # The limit is on the message, so it holds for zeros that deflate to 1 KiB as well.
    for compression in COMPRESSIONS:
        await expect_failure(1009, bytes(MESSAGE_LIMIT + 1), compression=compression)
        await expect_failure(1009, [bytes(MESSAGE_LIMIT), b"x"], compression=compression)


@check("the server fails the connection with 1007 for text that is not UTF-8")
async def _():
    # A stray byte, an overlong form, a surrogate, and a character that never ends; early and late.
    for compression in COMPRESSIONS:
        for text in [b"a\xffb", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe4\xb8", b"x" * 100_000 + b"\xff"]:
            await expect_failure(1007, text, text=True, compression=compression)


@check("subprotocols: the server selects the first of its own that the client offers")
async def _():
    for offered, selected in [
        (["superchat", "chat"], "chat"),
        (["superchat"], "superchat"),
        (["other"], None),
        (None, None),
    ]:
        async with open_echo(subprotocols=offered) as ws:
            assert ws.subprotocol == selected, ws.subprotocol


@check("1,000 pipelined messages come back in order, compressed or not")
async def _():
    sent = [f"message {i} " + "x" * i for i in range(1000)]
    for compression in COMPRESSIONS:
        async with open_echo(compression=compression) as ws:

            async def send_all():
                for message in sent:
                    await ws.send(message)

            sending = asyncio.create_task(send_all())
            for message in sent:
                assert await answer(ws) == message
            await sending


def open_echo(**options):
    # No proxy: the server is on this machine, whatever the environment says.
    return connect(server + "/echo", proxy=None, **options)


async def answer(ws):
    return await asyncio.wait_for(ws.recv(), EXCHANGE_LIMIT)


async def expect_echo(ws, message):
    await ws.send(message)
    received = await answer(ws)
    assert type(received) is type(message)
    assert received == message, f"sent {len(message)}, received {len(received)}, different"


async def expect_failure(code, message, *, text=None, compression):
    async with open_echo(compression=compression) as ws:
        try:
            await ws.send(message, text=text)
            received = await answer(ws)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None and closed.rcvd_then_sent, f"no close frame: {closed}"
            assert closed.rcvd.code == code, closed
            assert closed.rcvd.reason, "no reason"
        else:
            raise AssertionError(f"expected close {code}, received {len(received)} bytes")


def record_frames(ws) -> list[Frame]:
    """The data frames as they are on the wire, before the library inflates them."""
    frames = []
    (deflate,) = ws.protocol.extensions
    decode = deflate.decode

    def recording(frame, **options):
        frames.append(frame)
        return decode(frame, **options)

    deflate.decode = recording
    return frames


def fail(message):
    print(f"FAILED {running}: {message}", file=sys.stderr, flush=True)
    os._exit(1)


async def main():
    global running
    for name, function in checks.items():
        running = name
        try:
            await function()
        except Exception as error:
            at = error.__traceback__
            while at.tb_next and at.tb_next.tb_frame.f_code.co_filename == __file__:
                at = at.tb_next
            fail(f"line {at.tb_lineno}: {type(error).__name__}: {str(error)[:500]}")
        print("ok", name, flush=True)


signal.signal(signal.SIGALRM, lambda *_: fail(f"not over {TIME_LIMIT} s after the start"))
signal.alarm(TIME_LIMIT)
asyncio.run(main())
