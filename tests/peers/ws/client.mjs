// A client of the default app, made with npm's `ws`.
//
//     node client.mjs ws://127.0.0.1:PORT
//
// Prints one line per check and stops at the first failure.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import WebSocket from 'ws';

const TIME_LIMIT_MS = 50_000; // the whole run
const MESSAGE_LIMIT = 1 << 20; // the server's default
const DEFLATE = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

const server = process.argv[2]?.replace(/\/$/, '');
if (!server) {
  console.error('usage: client.mjs ws://HOST:PORT');
  process.exit(2);
}
let running;
const timeLimit = setTimeout(() => fail(running, `not over ${TIME_LIMIT_MS} ms after the start`), TIME_LIMIT_MS);

const checks = {
  'text and binary messages come back from /echo': async () => {
    const socket = await open('/echo');
    for (const length of [0, 1, 125, 126, 65535, 65536, MESSAGE_LIMIT]) {
      await expectEcho(socket, 'ü'.repeat(length / 2));
      await expectEcho(socket, Buffer.alloc(length, 0xfe));
    }
    await close(socket);
  },

  '/ answers what it received': async () => {
    const socket = await open('/');
    socket.send('hello');
    assert.equal(await nextMessage(socket), 'Received:  hello');
    await close(socket);
  },

  'a message sent in fragments, empty ones among them, comes back whole': async () => {
    const socket = await open('/echo');
    const crab = Buffer.from('🦀');
    const fragments = ['Grüße, ', '', crab.subarray(0, 1), crab.subarray(1, 3), crab.subarray(3), ''];
    for (const fragment of fragments) socket.send(fragment, { fin: false, binary: false });
    socket.send('!', { fin: true });
    assert.equal(await nextMessage(socket), 'Grüße, 🦀!');
    await close(socket);
  },

  'a ping is answered with its payload, also between fragments': async () => {
    const socket = await open('/echo');
    for (const payload of ['', 'still there?', 'x'.repeat(125)]) {
      socket.send('first, ', { fin: false });
      socket.ping(payload);
      const [pong] = await once(socket, 'pong');
      assert.equal(pong.toString(), payload);
      socket.send('last', { fin: true });
      assert.equal(await nextMessage(socket), 'first, last');
    }
    await close(socket);
  },

  'an unsolicited pong is not answered': async () => {
    const socket = await open('/echo');
    let pongs = 0;
    socket.on('pong', () => pongs++);
    socket.pong('nobody asked');
    await expectEcho(socket, 'after the pong');
    await close(socket);
    assert.equal(pongs, 0);
  },

  'the server echoes the close code': async () => {
    for (const code of [1000, 1001, 3000, 4999]) {
      const socket = await open('/echo');
      socket.close(code, 'goodbye');
      assert.equal(await closeCode(socket), code);
    }
  },

  'a close frame without a code is answered without one': async () => {
    const socket = await open('/echo');
    socket.close();
    // RFC 6455 §7.1.5: "If this Close control frame contains no status code, _The WebSocket
    // Connection Close Code_ is considered to be 1005."
    assert.equal(await closeCode(socket), 1005);
  },

  'the server fails the connection with 1007 for text that is not UTF-8': async () => {
    const socket = await open('/echo');
    socket.send(Buffer.from([0x61, 0xff]), { binary: false });
    assert.equal(await closeCode(socket), 1007);
  },

  'the server fails the connection with 1009 for a message above its limit': async () => {
    // The limit is on the message, so it holds for zeros that deflate to 1 KiB as well.
    for (const perMessageDeflate of [true, false]) {
      const socket = await open('/echo', [], { perMessageDeflate });
      socket.send(Buffer.alloc(MESSAGE_LIMIT + 1));
      assert.equal(await closeCode(socket), 1009);
    }
  },

  'subprotocols: the first of the server that the client offers': async () => {
    const selected = async (offered) => {
      const socket = await open('/echo', offered);
      await close(socket);
      return socket.protocol;
    };
    assert.equal(await selected(['superchat', 'chat']), 'chat');
    assert.equal(await selected(['superchat']), 'superchat');
    assert.equal(await selected([]), '');
  },

  'no subprotocol in common: the server selects none, and this client refuses that': async () => {
    await assert.rejects(open('/echo', ['other']), { message: 'Server sent no subprotocol' });
  },

  'a foreign origin is refused with 403': async () => {
    await assert.rejects(open('/echo', [], { origin: 'http://foreign.example' }), {
      message: 'Unexpected server response: 403',
    });
  },

  'permessage-deflate is used if it is offered, and only then': async () => {
    for (const perMessageDeflate of [true, false]) {
      const socket = await open('/echo', [], { perMessageDeflate });
      assert.equal(socket.extensions, perMessageDeflate ? 'permessage-deflate' : '');
      assert.equal(socket.agreed, perMessageDeflate ? DEFLATE : undefined);
      for (const message of ['compressible '.repeat(8000), Buffer.alloc(100_000)]) {
        const size = await expectEcho(socket, message);
        assert.equal(size < message.length / 50, perMessageDeflate, `${message.length} came back in ${size} bytes`);
      }
      await close(socket);
    }
  },

  'a window smaller than usual is agreed to, and not exceeded': async () => {
    // Node's zlib has a window of the agreed size, and fails for a distance beyond it. The blocks are such that a
    // compressor gains by going beyond.
    const blocks = Buffer.concat([...Array(40).fill(randomBytes(700)), ...Array(3).fill(randomBytes(9000))]);
    for (const serverMaxWindowBits of [9, 12]) {
      const perMessageDeflate = { threshold: 0, serverMaxWindowBits, clientMaxWindowBits: 10 };
      const socket = await open('/echo', [], { perMessageDeflate });
      assert.equal(socket.agreed, `${DEFLATE}; server_max_window_bits=${serverMaxWindowBits}; client_max_window_bits=10`);
      for (let length = 0; length < blocks.length; length += 1 + (length >> 1)) {
        await expectEcho(socket, blocks.subarray(0, length));
        await expectEcho(socket, blocks.subarray(0, length).toString('latin1'));
      }
      const size = await expectEcho(socket, blocks);
      // Within 512 bytes nothing repeats; within 4096 the small blocks do.
      assert.equal(size < blocks.length - 20_000, serverMaxWindowBits === 12, `${blocks.length} came back in ${size} bytes`);
      await close(socket);
    }
  },

  'messages of every length about the threshold and up, all of them sent compressed': async () => {
    const socket = await open('/echo', [], { perMessageDeflate: { threshold: 0 } });
    const lengths = [...Array(600).keys(), ...Array.from({ length: 40 }, (_, i) => 65535 + 401 * i * i), MESSAGE_LIMIT];
    for (const length of lengths) await expectEcho(socket, 'xyz'.repeat(length / 3 + 1).slice(0, length));
    await close(socket);
  },

  '1,000 pipelined messages come back in order': async () => {
    const socket = await open('/echo');
    const sent = Array.from({ length: 1000 }, (_, i) => `message ${i} ${'x'.repeat(i)}`);
    const received = collect(socket, sent.length);
    for (const message of sent) socket.send(message);
    const outOfPlace = (await received).findIndex((message, i) => message !== sent[i]);
    assert.equal(outOfPlace, -1, `message ${outOfPlace} is not the one that was sent`);
    await close(socket);
  },

  '50 interleaved connections, one terminated abruptly': async () => {
    const sockets = await Promise.all(Array.from({ length: 50 }, () => open('/echo')));
    for (let round = 0; round < 20; round++) {
      if (round === 10) {
        const [terminated] = sockets.splice(25, 1);
        terminated.send('half a message', { fin: false });
        terminated.terminate();
      }
      await Promise.all(sockets.map((socket, i) => expectEcho(socket, `round ${round} of ${i}`)));
    }
    await Promise.all(sockets.map(close));
  },
};

for (const [name, check] of Object.entries(checks)) {
  running = name;
  try {
    await check();
  } catch (error) {
    fail(name, error.message);
  }
  console.log('ok', name);
}
clearTimeout(timeLimit);

function fail(name, message) {
  console.error(`FAILED ${name}: ${message}`);
  process.exit(1);
}

async function open(path, subprotocols = [], options = {}) {
  const socket = new WebSocket(server + path, subprotocols, { handshakeTimeout: 10_000, ...options });
  // The field has the parameters, too; `socket.extensions` has only the name.
  socket.once('upgrade', ({ headers }) => { socket.agreed = headers['sec-websocket-extensions']; });
  await once(socket, 'open');
  return socket;
}

/** The next `count` messages: strings for text, buffers for binary. Rejects on an early close. */
function collect(socket, count) {
  return new Promise((resolve, reject) => {
    const messages = [];
    const onMessage = (payload, isBinary) => {
      messages.push(isBinary ? payload : payload.toString());
      if (messages.length === count) settle(resolve, messages);
    };
    const onClose = (code) => settle(reject, new Error(`closed with ${code} after ${messages.length} of ${count} messages`));
    const onError = (error) => settle(reject, error);
    const settle = (outcome, value) => {
      socket.off('message', onMessage).off('close', onClose).off('error', onError);
      outcome(value);
    };
    socket.on('message', onMessage).on('close', onClose).on('error', onError);
  });
}

async function nextMessage(socket) {
  const [message] = await collect(socket, 1);
  return message;
}

/** Sends a message, which comes back; returns the number of bytes that the echo took on the wire. */
async function expectEcho(socket, message) {
  const before = socket._socket.bytesRead; // private to ws, but nothing public has it
  socket.send(message);
  const received = await nextMessage(socket);
  // Not deepEqual: its report of a difference in 1 MiB takes minutes.
  assert.equal(typeof received, typeof message);
  assert.ok(Buffer.from(received).equals(Buffer.from(message)), `sent ${message.length}, received ${received.length} bytes, different`);
  return socket._socket.bytesRead - before;
}

/** The close code in the server's frame: 1005 if it had none, 1006 if there was no frame. */
async function closeCode(socket) {
  assert.notEqual(socket.readyState, WebSocket.CLOSED, 'the connection was closed already');
  socket.once('message', () => socket.terminate()); // an answer instead: the code will be 1006
  const [code] = await once(socket, 'close');
  return code;
}

async function close(socket) {
  socket.close(1000);
  assert.equal(await closeCode(socket), 1000);
}
