// The edges of `wasocket/node`, which the tables of tests/support/src/app_behaviours.rs do not reach.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import https from 'node:https';
import { test } from 'node:test';
import express from 'express';
import WebSocket from 'ws';
import { App } from '../node.js';
import { Client, certificate, component, example, frame, handshake, languages, serve, transpile } from './support.js';

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

const echo = await component('echo');
const chat = await component('chat');

/** An app whose log is kept, and that a busy machine does not end. */
function appOf(component, options = {}) {
  const log = [];
  return Object.assign(new App(component, { log: (line) => log.push(line), callTimeout: 5000, ...options }), { log });
}

async function opened(port, path) {
  const client = new Client(port);
  client.send(handshake(path));
  assert.match(await client.head(), /^HTTP\/1.1 101 /);
  return client;
}

/** What the chat says next, leaving out who is there. */
async function said(client) {
  for (;;) {
    const text = (await client.frame()).payload.toString();
    if (!text.startsWith('here: ')) {
      return text;
    }
  }
}

async function hears(client, text) {
  assert.equal(await said(client), text);
}

async function joined(port, room, name) {
  const client = await opened(port, `/rooms/${room}?${name}`);
  // What the room's history has comes first.
  while ((await said(client)) !== `${name} joined`);
  return client;
}

test('works with Express, alongside its routes and another upgrade', async (t) => {
  const app = appOf(chat);
  const web = express();
  web.get('/own', (_, response) => response.send('own'));
  web.use('/', app.listener);
  const server = createServer(web);
  app.attach(server, ({ url }) => url.startsWith('/rooms/'));
  server.on('upgrade', ({ url }, socket) => url === '/other' && socket.end('HTTP/1.1 418 other\r\n\r\n'));
  server.listen(0);
  await once(server, 'listening');
  const { port } = server.address();
  t.after(() => server.close());
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/own`)).text(), 'own');
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), `Connect to 127.0.0.1:${port}/rooms/ROOM?NAME\n`);
  const other = new Client(port);
  other.send(handshake('/other'));
  assert.match(await other.head(), /418/);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/rooms/blue?ann`);
  assert.equal(String((await once(socket, 'message'))[0]), 'ann joined');
  socket.close(4001);
  assert.equal((await once(socket, 'close'))[0], 4001);
  await app.close();
});

test('bytes sent with the request come first', async (t) => {
  const client = new Client(await serve(t, appOf(echo)));
  client.send(handshake(), frame(TEXT, 'early'), frame(PING, 'p'));
  assert.match(await client.head(), /^HTTP\/1.1 101 /);
  assert.deepEqual(await client.frame(), { opcode: TEXT, payload: Buffer.from('early') });
  assert.deepEqual(await client.frame(), { opcode: PONG, payload: Buffer.from('p') });
});

test('sends the component\'s 101, after a 100', async (t) => {
  const client = new Client(await serve(t, appOf(echo)));
  client.send(handshake('/', 'Expect: 100-continue\r\n'));
  assert.equal(await client.head(), 'HTTP/1.1 100 Continue\r\n\r\n');
  const head = await client.head();
  assert.doesNotMatch(head, /date|content-length/i);
  assert.match(head, /Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
});

test('nothing after a refused upgrade is answered', async (t) => {
  const client = new Client(await serve(t, appOf(echo)));
  client.send(handshake('/', 'Origin: https://b.test\r\n'), 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
  const all = (await client.rest()).toString();
  assert.match(all, /^HTTP\/1.1 403 /);
  assert.match(all, /Connection: close\r\n/);
  assert.equal(all.split('HTTP/1.1').length, 2);
});

test('the component checks the handshake strictly', async (t) => {
  const port = await serve(t, appOf(echo));
  for (const [fields, status] of [
    ['Content-Length: 3\r\n', 400],
    ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n', 400],
    ['Sec-WebSocket-Version: 13\r\n', 400],
    ['Origin: http://a.test\r\nOrigin: http://a.test\r\n', 400],
    ['Host: a.test\r\n', 400],
  ]) {
    const client = new Client(port);
    client.send(handshake('/', fields));
    assert.match(await client.head(), new RegExp(`^HTTP/1.1 ${status} `), fields);
  }
});

test('stops reading clients that do not read, and loses nothing', async (t) => {
  const client = await opened(await serve(t, appOf(echo)), '/');
  const payload = Buffer.alloc(2 ** 20, 'x');
  const count = 32;
  client.socket.pause();
  for (let i = 0; i < count; i += 1) {
    client.send(frame(BINARY, payload));
  }
  // The server has stopped reading: the client cannot get rid of it all.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(client.socket.writableLength > 0);
  for (let i = 0; i < count; i += 1) {
    const message = await client.frame();
    assert.ok(message.opcode === BINARY && message.payload.equals(payload), `message ${i}`);
  }
});

test('disconnects a client that stops reading for too long', async (t) => {
  const app = appOf(echo, { sendTimeout: 1 });
  const client = await opened(await serve(t, app), '/');
  client.socket.pause();
  const closed = new Promise((resolve) => client.socket.on('close', resolve));
  for (let i = 0; i < 48; i += 1) {
    client.send(frame(BINARY, Buffer.alloc(2 ** 20)));
  }
  await closed;
});

/** Reads up to the Close frame. */
async function closeCode(client) {
  for (;;) {
    const { opcode, payload } = await client.frame();
    if (opcode === CLOSE) {
      return payload.readUInt16BE();
    }
  }
}

test('a room reaches all instances, and keeps its last messages', async (t) => {
  const port = await serve(t, appOf(chat, { connectionsPerInstance: 1 }));
  const members = [];
  for (const name of ['ann', 'bob', 'eve']) {
    members.push(await joined(port, 'a', name));
  }
  const [ann, bob, eve] = members;
  for (const line of ['bob joined', 'eve joined']) {
    await hears(ann, line);
  }
  await hears(bob, 'eve joined');
  for (let number = 1; number <= 60; number += 1) {
    bob.send(frame(TEXT, 'hi'));
    for (const member of members) {
      await hears(member, `bob (${number}): hi`);
    }
  }
  const late = await opened(port, '/rooms/a?tom');
  for (let number = 11; number <= 60; number += 1) {
    await hears(late, `bob (${number}): hi`);
  }
  await hears(late, 'tom joined');
  eve.socket.destroy();
  await hears(ann, 'tom joined');
  await hears(ann, 'eve left (1006)');
});

test('a member that does not read is closed with 1013, and delays no other', async (t) => {
  const port = await serve(t, appOf(chat));
  const slow = await joined(port, 'a', 'slow');
  const ann = await joined(port, 'a', 'ann');
  slow.socket.pause();
  const line = 'x'.repeat(100_000);
  // More than fits into all buffers between the two.
  for (let number = 1; number <= 200; number += 1) {
    ann.send(frame(TEXT, line));
    await hears(ann, `ann (${number}): ${line}`);
  }
  assert.equal(await closeCode(slow), 1013);
});

test('a trap closes the connections of its instance with 1011, and no others', async (t) => {
  const app = appOf(chat, { connectionsPerInstance: 2 });
  const port = await serve(t, app);
  const ann = await joined(port, 'a', 'ann');
  const bob = await joined(port, 'a', 'bob');
  const eve = await joined(port, 'a', 'eve');
  ann.send(frame(TEXT, '/crash'));
  for (const client of [ann, bob]) {
    assert.equal(await closeCode(client), 1011);
    assert.equal((await client.rest()).length, 0);
  }
  eve.send(frame(TEXT, 'here'));
  await hears(eve, 'eve (1): here');
  const again = await joined(port, 'b', 'ann');
  again.send(frame(TEXT, 'hi'));
  await hears(again, 'ann (1): hi');
  assert.match(app.log.join('\n'), /an instance ends, and with it 2 connections/);
});

test('an instance over its memory limit ends', async (t) => {
  const app = appOf(echo, { memory: 2 });
  const client = await opened(await serve(t, app), '/');
  client.send(frame(BINARY, Buffer.alloc(2 ** 20)));
  const { opcode, payload } = await client.frame();
  assert.deepEqual([opcode, payload.readUInt16BE()], [CLOSE, 1011]);
  assert.match(app.log.join('\n'), /memory, more than 2 MiB/);
});

test('a call that takes too long ends the instance', async (t) => {
  const handle = ({ target }) => {
    while (target === '/spin');
    return { verdict: { tag: 'answer', val: { tag: 'respond', val: RESPONSE } }, wakeOthers: [], publications: [] };
  };
  const app = appOf({ modules: {}, instantiate: () => ({ [HANDLER]: { handle } }) }, { callTimeout: 50, startTimeout: 1 });
  const url = `http://127.0.0.1:${await serve(t, app)}`;
  // The first call takes the longest: V8 compiles the functions that it calls.
  assert.equal((await fetch(`${url}/spin`)).status, 500);
  assert.match(app.log.join('\n'), /within 1000 ms \(startTimeout\)/);
  assert.equal((await fetch(url)).status, 204);
  assert.equal((await fetch(`${url}/spin`)).status, 500);
  assert.match(app.log.join('\n'), /within 50 ms \(callTimeout\)/);
  assert.equal((await fetch(url)).status, 204);
});

/** A component written in JavaScript, which can break the contract in ways that jco makes impossible. */
function scripted(handle) {
  return { modules: {}, instantiate: () => ({ [HANDLER]: { handle } }) };
}

const NOTHING = { output: new Uint8Array(), wakeAt: undefined, next: 'open', wakeOthers: [], topics: [] };

/** A takeover of every path but `/`, whose connection begins with an x, and then behaves as `calls` says. */
function takenOver(calls) {
  const connection = { open: () => ({ ...NOTHING, output: Buffer.from('x') }), receive: () => NOTHING, receiveEof: () => NOTHING, lost: () => ({ wakeOthers: [], publications: [] }), report() {}, ...calls };
  const takeover = { connection, response: undefined, finalBytes: new Uint8Array(), ...calls.takeover };
  return ({ target }) => ({
    verdict: { tag: 'answer', val: target === '/' ? { tag: 'respond', val: RESPONSE } : { tag: 'takeover', val: takeover } },
    wakeOthers: [],
    publications: [],
  });
}

test('an exception costs its connection only', async (t) => {
  const broken = { ...NOTHING, wakeOthers: undefined };
  const soon = { ...NOTHING, output: Buffer.from('x'), wakeAt: 0n };
  for (const [what, handle] of [
    ['the answer', ({ target }) => (target === '/' ? { verdict: { tag: 'answer', val: { tag: 'respond', val: RESPONSE } }, wakeOthers: [], publications: [] } : {})],
    ['open', takenOver({ open: () => broken })],
    ['receive', takenOver({ receive: () => broken })],
    ['wake', takenOver({ open: () => soon, wake: () => broken })],
    ['the end of the stream', takenOver({ receiveEof: () => broken })],
    ['the end', takenOver({ lost: () => 1 })],
  ]) {
    const app = appOf(scripted(handle));
    const port = await serve(t, app);
    const client = new Client(port);
    client.send(handshake('/raw'));
    if (what !== 'the answer' && what !== 'open') {
      await client.read(1);
    }
    if (what === 'the end') {
      client.socket.resetAndDestroy();
    } else {
      client.send('x');
      client.socket.end();
      await client.rest().catch(() => {});
    }
    while (app.log.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 204, what);
    assert.match(app.log.join('\n'), /connection lost to a bug in the host: TypeError/, what);
  }
});

test('what `isOwn`, `log` and `onEnd` throw costs no more than a connection', async (t) => {
  const fail = () => {
    throw new Error('for the test');
  };
  const app = new App(echo, { log: fail, onEnd: fail, callTimeout: 5000 });
  const server = createServer(app.listener);
  app.attach(server, ({ url }) => (url === '/fail' ? fail() : url !== '/other'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address();
  const lost = new Client(port);
  lost.send(handshake('/fail'));
  await lost.rest().catch(() => {});
  const client = await opened(port, '/');
  client.send(frame(CLOSE, Buffer.from([3, 0xe8])));
  await client.rest();
  client.socket.destroy();
  await hears(await opened(port, '/').then((again) => (again.send(frame(TEXT, 'on')), again)), 'on');
  Client.destroyAll();
  await app.close();
});

test('an answer that Node would refuse becomes 500, and the log has no query', async (t) => {
  const bytes = (text) => Buffer.from(text);
  const respond = (status, fields, body = 'x') => ({ tag: 'respond', val: { head: { status, fields }, body: bytes(body) } });
  const answers = {
    '/status': respond(99, []),
    '/name': respond(200, [['a b', bytes('c')]]),
    '/value': respond(200, [['a', bytes('b\r\nc')]]),
    '/length': respond(200, [['content-length', bytes('5')]]),
    '/trailer': respond(200, [['Trailer', bytes('a')]]),
    '/coding': respond(200, [['Transfer-Encoding', bytes('chunked')]]),
    '/many': respond(200, Array(24_001).fill(['a', bytes('b')])),
  };
  const handle = ({ target }) => ({ verdict: { tag: 'answer', val: answers[target.split('?')[0]] }, wakeOthers: [], publications: [] });
  const app = appOf(scripted(handle));
  const port = await serve(t, app);
  for (const path of Object.keys(answers)) {
    assert.equal((await fetch(`http://127.0.0.1:${port}${path}?secret`)).status, 500, path);
    const client = new Client(port);
    client.send(handshake(`${path}?secret`));
    assert.match(await client.head(), /^HTTP\/1.1 500 /, path);
  }
  const long = appOf(scripted(takenOver({ takeover: { finalBytes: new Uint8Array(1025) } })));
  const client = new Client(await serve(t, long));
  client.send(handshake('/raw'));
  assert.match(await client.head(), /^HTTP\/1.1 500 /);
  assert.equal(app.log.length, 2 * Object.keys(answers).length);
  assert.doesNotMatch(app.log.join('\n'), /secret/);
});

test('a raw takeover whose peer sends without reading loses nothing', async (t) => {
  const client = new Client(await serve(t, appOf(await example('hijack'))));
  const bytes = Buffer.alloc(8 * 2 ** 20).map((_, i) => i % 251);
  client.socket.pause();
  client.send('GET /bytes HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n', bytes);
  client.socket.end();
  assert.ok((await client.rest()).equals(bytes));
});

test('a raw takeover needs Upgrade', async (t) => {
  const port = await serve(t, appOf(await example('hijack')));
  assert.equal((await fetch(`http://127.0.0.1:${port}/bytes`)).status, 501);
});

test('serves https', async (t) => {
  const app = appOf(echo);
  const port = await serve(t, app, https.createServer(certificate(), app.listener));
  const socket = new WebSocket(`wss://127.0.0.1:${port}/`, { rejectUnauthorized: false, origin: `https://127.0.0.1:${port}` });
  await once(socket, 'open');
  const long = 'x'.repeat(2 ** 20);
  for (const text of ['hello', long]) {
    socket.send(text);
    assert.equal(String((await once(socket, 'message'))[0]), text);
  }
  socket.close(4001);
  assert.equal((await once(socket, 'close'))[0], 4001);
});

test('calls onEnd with the outcome of a connection', async (t) => {
  const events = new EventEmitter();
  const app = appOf(echo, { onEnd: (end) => events.emit('end', end) });
  const port = await serve(t, app);
  const client = await opened(port, '/?token=secret');
  client.send(frame(TEXT, 'one'), frame(CLOSE, Buffer.from([0x0f, 0xa1, 0x68, 0x69])));
  const ended = once(events, 'end');
  await client.rest();
  client.socket.end();
  const [{ remote, path, duration, error, report }] = await ended;
  assert.match(remote, /^127\.0\.0\.1:[0-9]+$/);
  assert.equal(path, '/');
  assert.ok(duration > 0);
  assert.equal(error, undefined);
  const closing = { initiator: 'peer', code: 4001, reason: 'hi' };
  assert.deepEqual(report, { messagesReceived: 1n, messagesSent: 1n, closing, fault: undefined });
  const reset = await opened(port, '/');
  reset.socket.resetAndDestroy();
  const [lost] = await once(events, 'end');
  assert.equal(lost.error.code, 'ECONNRESET');
  assert.equal(lost.report.closing.code, 1006);
});

test('logs the app\'s mistakes', async (t) => {
  const app = appOf(chat);
  const client = await joined(await serve(t, app), 'a', 'ann');
  client.send(frame(TEXT, '/flood'));
  await client.rest();
  client.socket.end();
  await app.close();
  assert.match(app.log.join('\n'), /^127\.0\.0\.1:[0-9]+ "\/rooms\/a": app error: "/);
});

test('close() ends connections with 1001, waits for the answers, and accepts no others', async (t) => {
  const app = appOf(echo);
  const port = await serve(t, app);
  const client = await opened(port, '/');
  const closed = app.close();
  const { opcode, payload } = await client.frame();
  assert.deepEqual([opcode, payload.readUInt16BE()], [CLOSE, 1001]);
  const late = new Client(port);
  late.send(handshake());
  assert.match(await late.head(), /^HTTP\/1.1 503 /);
  client.send(frame(CLOSE, Buffer.from([3, 0xe9])));
  await closed;
});

test('close() cuts off clients that do not answer', async (t) => {
  const app = appOf(echo, { shutdownTimeout: 1 });
  const client = await opened(await serve(t, app), '/');
  await app.close();
  await client.frame();
});

test('a peer that half-closes is still answered', async (t) => {
  const client = await opened(await serve(t, appOf(echo)), '/');
  client.socket.end(frame(TEXT, 'last words'));
  await hears(client, 'last words');
});

test('invalid options are rejected', () => {
  assert.throws(() => new App(echo, { calltimeout: 1 }), /there is no option calltimeout, but .*callTimeout/);
  for (const memory of [0, -1, 1.5, NaN, '64', undefined]) {
    assert.throws(() => new App(echo, { memory }), /memory is a whole number from 1/);
  }
});

test('a component unfit for a target is rejected with the reason', () => {
  const run = (file, target) => transpile(`${languages}${file}.wasm`, target, `${languages}none`);
  assert.match(run('rust-echo', 'node').stderr, /wasocket compose COMPONENT --target handler/);
  assert.match(run('fused-echo', 'workers').stderr, /event form/);
  assert.match(run('c-echo.core', 'node').stderr, /is no component/);
  for (const { status } of [run('rust-echo', 'node'), run('fused-echo', 'workers'), run('nothing', 'node')]) {
    assert.equal(status, 1);
  }
});

const RESPONSE = { head: { status: 204, fields: [] }, body: new Uint8Array() };

const HANDLER = 'wasocket:websocket/websocket-handler@0.1.0';
