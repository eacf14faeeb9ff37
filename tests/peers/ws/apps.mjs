// A client made with npm's `ws`, for one of the apps of tests/support/src/app_behaviours.rs, wherever it runs.
//
//     node apps.mjs echo|chat|json ws://127.0.0.1:PORT
//
// Checks only what every target can do. Exits with status 1 at the first failure.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';

const TIME_LIMIT_MS = 50_000; // the whole run
/** The time until a new member is subscribed: behind a proxy, a moment. */
const SETTLING_MS = 300;

const apps = {
  async echo() {
    const { socket, next } = await open('/', ['other', 'echo']);
    assert.equal(socket.protocol, 'echo');
    for (const message of ['', 'Grüße, 🦀', 'x'.repeat(100_000), Buffer.alloc(100_000, 0xfe)]) {
      socket.send(message);
      const received = await next();
      assert.equal(typeof received, typeof message);
      assert.ok(Buffer.from(received).equals(Buffer.from(message)), `${message.length} bytes`);
    }
    socket.ping('still there?');
    const [pong] = await once(socket, 'pong');
    assert.equal(pong.toString(), 'still there?');
    socket.close(4001, 'enough');
    assert.equal((await once(socket, 'close'))[0], 4001);
  },

  async chat() {
    const [ann, bob] = [await join('ann'), await join('bob')];
    assert.equal(await ann.next(), 'bob joined');
    for (const [count, text] of ['hello', 'again'].entries()) {
      bob.socket.send(text);
      const line = `bob (${count + 1}): ${text}`;
      assert.deepEqual([await ann.next(), await bob.next()], [line, line]);
    }
    bob.socket.send('/bye');
    const [code, reason] = await once(bob.socket, 'close');
    assert.deepEqual([code, reason.toString()], [1000, 'bye']);
    assert.equal(await ann.next(), 'bob left (1000)');
    ann.socket.terminate();
    await assert.rejects(open('/rooms/ws'), { message: 'Unexpected server response: 400' });
  },

  async json() {
    const { socket, next } = await open('/');
    for (const [method, params, result] of [['add', [1, 2.5], 3.5], ['add', [4], 4], ['total', undefined, 7.5]]) {
      socket.send(JSON.stringify({ jsonrpc: '2.0', method, params, id: method }));
      assert.deepEqual(JSON.parse(await next()), { jsonrpc: '2.0', result, id: method });
    }
    socket.terminate();
  },
};

const [name, server] = process.argv.slice(2);
const app = apps[name];
if (!app || !server) {
  console.error('usage: apps.mjs echo|chat|json ws://HOST:PORT');
  process.exit(2);
}
setTimeout(() => fail(`not over ${TIME_LIMIT_MS} ms after the start`), TIME_LIMIT_MS).unref();
await app().catch((error) => fail(error.message));
console.log('ok', name);

function fail(message) {
  console.error(`FAILED ${name}: ${message}`);
  process.exit(1);
}

/** Opens a WebSocket; `next` returns its messages in order, including those that have already arrived. */
async function open(path, subprotocols = []) {
  const socket = new WebSocket(new URL(path, server), subprotocols, { handshakeTimeout: 10_000 });
  const received = [];
  const waiting = [];
  socket.on('message', (payload, isBinary) => {
    received.push(isBinary ? payload : payload.toString());
    waiting.shift()?.();
  });
  await once(socket, 'open');
  const next = async () => {
    if (received.length === 0) await new Promise((resolve) => waiting.push(resolve));
    return received.shift();
  };
  return { socket, next };
}

/** Joins the room, after what was said there before; `next` leaves out who is there. */
async function join(who) {
  const { socket, next } = await open(`/rooms/ws?${who}`);
  const said = async () => {
    for (;;) {
      const line = await next();
      if (!line.startsWith('here: ')) return line;
    }
  };
  while ((await said()) !== `${who} joined`);
  await pause(SETTLING_MS);
  return { socket, next: said };
}
