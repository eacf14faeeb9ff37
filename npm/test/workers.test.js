// The rules of `wasocket/workers`, outside of workerd, in which `tests/interop/targets/workers.rs` runs them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { transpileBytes } from '@bytecodealliance/jco-transpile';
import { Fault, checkTopic, checkClose, checkRoom, checkSize, checkState, cutReason, split } from '../workers/answer.js';
import { refusal, subprotocol, wantsWebSocket } from '../workers/handshake.js';
import { languages } from './support.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** A request as the platform presents it. Node's own `Request` hides such fields. */
function request(fields = {}, url = 'http://a.test/') {
  const headers = new Map(
    Object.entries({ host: 'a.test', upgrade: 'websocket', 'sec-websocket-key': KEY, ...fields }),
  );
  const name = (/** @type {string} */ text) => text.toLowerCase();
  return {
    method: 'GET',
    url,
    headers: { get: (text) => headers.get(name(text)) ?? null, has: (text) => headers.has(name(text)) },
  };
}

function statusOf(origins, fields, url) {
  const accept = { fields: [], settings: { origins, compress: false, maxMessageSize: 1 } };
  return refusal(request(fields, url), accept)?.response.head.status;
}

test('only the server\'s own pages may connect', () => {
  const same = { tag: 'same' };
  for (const [origin, host, url] of [
    ['http://a.test', 'a.test'],
    ['http://a.test:', 'a.test:80'],
    ['HTTP://A.test:1234', 'a.TEST:1234'],
    ['https://a.test', 'a.test:443', 'https://a.test/'],
    ['https://a.test', 'a.test'],
    ['http://[::1]:1', '[0:0::1]:1'],
  ]) {
    assert.equal(statusOf(same, { origin, host }, url), undefined, origin);
  }
  for (const [origin, url] of [
    ['http://b.test'],
    ['http://a.test:81'],
    ['http://a.test', 'https://a.test/'],
    ['http://a.test.evil.test'],
    ['http://sub.a.test'],
    ['http://a.test@evil.test'],
    ['http://a.test/'],
    ['http://a.test, http://a.test'],
    ['ws://a.test'],
    ['a.test'],
    ['null'],
    [''],
    ['http://'],
    ['http://\u0430.test'],
  ]) {
    assert.equal(statusOf(same, { origin }, url), 403, origin);
    assert.equal(statusOf({ tag: 'dangerously-allow-any' }, { origin }, url), undefined, origin);
  }
  assert.equal(statusOf(same, {}), undefined);
});

test('matches patterns of origins', () => {
  for (const [pattern, origin, isAllowed] of [
    ['https://b.test', 'https://B.test:443', true],
    ['https://*.b.test', 'https://app.b.test', true],
    ['https://*.b.test:*', 'https://app.b.test:8443', true],
    ['http://localhost:*', 'http://localhost', true],
    ['http://[::1]:*', 'http://[::1]:8080', true],
    ['https://b.test', 'http://a.test', true],
    ['https://b.test', 'http://b.test', false],
    ['https://b.test', 'https://b.test.evil.test', false],
    ['https://*.b.test', 'https://b.test', false],
    ['https://*.b.test', 'https://.b.test', false],
    ['https://*.b.test', 'https://a.c.b.test', false],
    ['https://*.b.test', 'https://evil.test@app.b.test', false],
    ['https://*.1', 'https://[::1]', false],
    ['https://*', 'https://b.test', false],
    ['https://a*.b.test', 'https://ab.b.test', false],
    ['https://b.test/', 'https://b.test', false],
    ['null', 'null', false],
  ]) {
    const status = statusOf({ tag: 'same-or', val: [pattern] }, { origin });
    assert.equal(status, isAllowed ? undefined : 403, `${pattern} ${origin}`);
  }
});

test('refuses handshakes that the platform would accept', () => {
  for (const fields of [
    { 'sec-websocket-key': `${KEY}, ${KEY}` },
    { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ' },
    { 'content-length': '1' },
    { 'transfer-encoding': 'chunked' },
    { upgrade: 'h2c, websocket' },
    { host: 'a b' },
    { host: 'a:65536' },
    { 'sec-websocket-protocol': 'chat, chat' },
    { 'sec-websocket-protocol': 'ch@t' },
    { 'sec-websocket-protocol': ',' },
  ]) {
    assert.equal(statusOf({ tag: 'same' }, fields), 400, JSON.stringify(fields));
  }
  assert.equal(refusal({ ...request(), method: 'POST' }, { fields: [] })?.response.head.status, 405);
  assert.ok(wantsWebSocket(request({ upgrade: ' h2c ,WebSocket' })) && !wantsWebSocket(request({ upgrade: 'h2c' })));
});

test('leaves out a subprotocol that is not offered', () => {
  const offer = request({ 'sec-websocket-protocol': 'v1, V2' });
  assert.deepEqual(['v1', 'v2', undefined].map((name) => subprotocol(offer, name)), ['v1', undefined, undefined]);
});

test('a long close reason is cut between characters', () => {
  for (const [text, length] of [['x'.repeat(124), 123], ['ä'.repeat(62), 61], ['💥'.repeat(40), 60]]) {
    assert.equal(cutReason(text), text.slice(0, length));
  }
});

test('answers that break a rule are faults', () => {
  const send = (length) => ({ tag: 'send', val: { tag: 'binary', val: new Uint8Array(length) } });
  const respond = { tag: 'respond', val: { head: { status: 200, fields: [] }, body: new Uint8Array() } };
  checkSize(Array(1024).fill(send(8192)));
  checkState(new Uint8Array(2048));
  checkTopic('ä'.repeat(64));
  checkRoom(Array(15).fill('x'));
  for (const code of [1000, 1003, 1007, 1014, 3000, 4999]) {
    checkClose(code);
  }
  for (const fault of [
    () => checkSize(Array(1025).fill(send(0))),
    () => checkSize([send(8 * 2 ** 20), send(1)]),
    () => checkState(new Uint8Array(2049)),
    () => checkTopic(''),
    () => checkTopic(`${'ä'.repeat(64)}x`),
    () => checkRoom(Array(16).fill('x')),
    () => split([respond, respond]),
    ...[0, 999, 1004, 1005, 1006, 1015, 2999, 5000].map((code) => () => checkClose(code)),
  ]) {
    assert.throws(fault, Fault);
  }
  assert.equal(split([]).respond.head.status, 404);
});

test('contract/ matches wit/', async () => {
  const { files } = await transpileBytes(readFileSync(`${languages}protocol.wasm`), {
    name: 'protocol',
    outDir: '',
    instantiation: 'sync',
  });
  for (const interfaceName of ['app', 'types', 'websocket-handler']) {
    const name = `interfaces/wasocket-websocket-${interfaceName}.d.ts`;
    const generated = Object.entries(files).find(([file]) => file.endsWith(name))?.[1];
    assert.ok(generated, name);
    const committed = readFileSync(new URL(`../contract/${name}`, import.meta.url), 'utf8');
    assert.equal(committed, new TextDecoder().decode(generated), `${name}: copy what jco generates from protocol.wasm`);
  }
});
