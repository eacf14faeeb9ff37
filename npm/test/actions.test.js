// The answers of apps in tests/vectors/actions.json, under the rules of `wasocket/workers`.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Fault, checkRoom, split } from '../workers/answer.js';
import { carryOut, publications } from '../workers/judge.js';

const vectors = JSON.parse(readFileSync(new URL('../../tests/vectors/actions.json', import.meta.url), 'utf8'));

/** A part may be repeated: `["x", 100]`. */
const text = (part) => (Array.isArray(part) ? part[0].repeat(part[1]) : part);
const bytes = (part) => new TextEncoder().encode(text(part));
const message = (part) => ({ tag: 'text', val: text(part) });

/** The actions that a line of the vectors stands for. */
function actionsOf([tag, ...words]) {
  switch (tag) {
    case 'times':
      return Array(words[0]).fill(actionsOf(words[1])).flat();
    case 'respond':
      return [{ tag, val: { head: { status: words[0], fields: [] }, body: bytes(words[1] ?? '') } }];
    case 'accept':
      return [{ tag, val: { subprotocol: undefined, fields: [], settings: undefined } }];
    case 'send':
      return [{ tag, val: message(words[0]) }];
    case 'close':
      return [{ tag, val: { code: words[0], reason: text(words[1]) } }];
    case 'set-state':
      return [{ tag, val: bytes(words[0]) }];
    case 'subscribe':
    case 'unsubscribe':
    case 'list-members':
    case 'fail':
      return [{ tag, val: text(words[0]) }];
    case 'publish':
    case 'publish-to-others':
      return [{ tag, val: { channel: text(words[0]), message: message(words[1]) } }];
    case 'subscribe-with':
      return [{ tag, val: { topic: text(words[0]), start: { tag: 'now' }, member: bytes(words[1]), receiver: 'peer' } }];
  }
  throw new Error(`no action: ${tag}`);
}

/** A WebSocket that records what its peer is sent. */
class Peer {
  received = [];
  channels = [];
  isOpen = true;

  send({ val }) {
    if (this.isOpen) {
      this.received.push(val);
    }
  }

  close() {
    this.isOpen = false;
  }

  setState() {}

  subscribe(channel) {
    if (!this.channels.includes(channel)) {
      checkRoom(this.channels);
      this.channels.push(channel);
    }
  }

  subscribeWith({ topic }) {
    this.subscribe(topic);
  }

  listMembers() {}

  unsubscribe(channel) {
    this.channels = this.channels.filter((own) => own !== channel);
  }

  publish(channel, published, toOthers) {
    if (!toOthers && this.channels.includes(channel)) {
      this.send(published);
    }
  }
}

/** The outcome of an answer: `status` without a WebSocket, and `received` with one. */
function outcomeOf(answers, actions) {
  const peer = new Peer();
  let status;
  try {
    if (answers === 'message') {
      carryOut(peer, actions);
      return { received: peer.received };
    }
    status = 500;
    const { accept, respond, others } = split(actions);
    if (accept && answers === 'request') {
      throw new Fault('accept answers open only');
    }
    if (accept) {
      status = undefined;
      carryOut(peer, others);
      return { received: peer.received };
    }
    publications(others, () => {});
    return { status: respond.head.status };
  } catch (error) {
    assert.ok(error instanceof Fault, error);
    return { ...(status ? { status } : { received: peer.received }), fault: error.message };
  }
}

test('answers match the vectors', () => {
  assert.ok(vectors.length > 50);
  for (const { name, answers, actions, ...expected } of vectors) {
    assert.deepEqual(outcomeOf(answers, actions.flatMap(actionsOf)), expected, name);
  }
});
