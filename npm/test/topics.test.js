// Topics of `wasocket/node` among connections that record what they are given. The components are real in
// node.test.js and in tests/interop/targets.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Histories } from '../history.js';
import { Topics } from '../node/topics.js';
import { Waiting } from '../node/waiting.js';

/** A component's instance, which sends every connection the message in one form. */
class Instance {
  calls = [];
  wake() {}

  call(call) {
    return call({
      deliver: (_, { message }, known, connections) => {
        this.calls.push({ known: [...known], connections });
        const forms = known.includes(7) ? [] : [{ number: 7, bytes: Buffer.from(message.val) }];
        return { forms, shared: 7, exceptions: this.exceptions ?? [], output: Buffer.from('own'), wakeOthers: [] };
      },
    });
  }
}

class Session {
  isOpen = true;
  isFull = false;
  topics = new Set();
  given = [];

  constructor(instance = new Instance(), name = 'x') {
    Object.assign(this, { instance, connection: name });
  }

  get takesNow() {
    return this.isOpen && !this.isFull;
  }

  give({ delivery }) {
    this.given.push(delivery.message.val);
  }

  keepWaiting({ delivery }) {
    this.given.push(`later: ${delivery.message.val}`);
  }

  tell({ tag, val }) {
    this.given.push([tag, val.recovered ?? val.member?.toString() ?? val.members?.map(String) ?? val.reason]);
  }

  forget() {}

  onForm(bytes) {
    this.bytes = bytes;
    this.given.push(bytes.toString());
  }

  onOutcome({ output }) {
    this.given.push(`outcome: ${output}`);
  }
}

const bugs = [];
const topicsOf = () => new Topics((error) => bugs.push(error));
const subscribe = (more = {}) => ({
  tag: 'subscribe',
  val: { topic: 'room', start: { tag: 'now' }, watchMembers: false, confirm: false, ...more },
});
const publish = (val, toOthers = false) => ({
  tag: 'publish',
  val: { topic: 'room', message: { tag: 'text', val }, toOthers },
});
const member = (name) => ({ member: Buffer.from(name), watchMembers: true });
const carriedOut = async () => {
  // Actions may cause others.
  for (let turn = 0; turn < 5; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(bugs, []);
};

test('actions are carried out in one order', async () => {
  const topics = topicsOf();
  const [ann, bob] = [new Session(), new Session()];
  topics.act(ann, [publish('before'), subscribe(), publish('a')]);
  topics.act(bob, [subscribe(), publish('b', true), { tag: 'unsubscribe', val: 'room' }, publish('c')]);
  topics.publish([publish('d').val]);
  await carriedOut();
  assert.deepEqual([ann.given, bob.given], [['a', 'b', 'c', 'd'], []]);
});

test('a form is made once, and sent from one buffer', async () => {
  const topics = topicsOf();
  const [one, other] = [new Instance(), new Instance()];
  const sessions = [new Session(one, 1), new Session(other, 2), new Session(one, 3), new Session(other, 4)];
  sessions.forEach((session) => topics.act(session, [subscribe()]));
  sessions[3].isFull = true;
  topics.publish([publish('hi').val]);
  await carriedOut();
  assert.deepEqual(one.calls, [{ known: [], connections: [1, 3] }]);
  assert.deepEqual(other.calls, [{ known: [7], connections: [2] }]);
  assert.ok(sessions[0].bytes === sessions[1].bytes && sessions[0].bytes === sessions[2].bytes);
  assert.deepEqual(sessions[3].given, ['later: hi']);
});

test('exceptions have an outcome of their own', async () => {
  const topics = topicsOf();
  const instance = new Instance();
  instance.exceptions = [{ index: 1, effect: { tag: 'outcome', val: { outputLength: 3, next: 'open', topics: [] } } }];
  const sessions = [new Session(instance), new Session(instance)];
  sessions.forEach((session) => topics.act(session, [subscribe(), publish('hi')]));
  await carriedOut();
  assert.deepEqual(sessions.map(({ given }) => given.at(-1)), ['hi', 'outcome: own']);
});

test('a component that names a form which does not exist ends', async () => {
  const topics = topicsOf();
  const instance = new Instance();
  instance.exceptions = [{ index: 0, effect: { tag: 'form', val: 8 } }];
  let ended;
  const { call } = instance;
  instance.call = (action) => {
    try {
      return call.call(instance, action);
    } catch (error) {
      ended = error.message;
      return { forms: [], shared: undefined, exceptions: [], output: Buffer.alloc(0), wakeOthers: [] };
    }
  };
  topics.act(new Session(instance), [subscribe(), publish('hi')]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.match(ended, /form 8, which does not exist/);
  bugs.length = 0;
});

test('members are listed, and watched', async () => {
  const topics = topicsOf();
  const [ann, bob] = [new Session(), new Session()];
  topics.act(ann, [subscribe(member('ann')), subscribe(member('ann'))]);
  topics.act(bob, [subscribe(member('bob')), { tag: 'list-members', val: 'room' }]);
  await carriedOut();
  bob.isOpen = false;
  topics.leave(bob, [...bob.topics]);
  await carriedOut();
  assert.deepEqual(ann.given, [['joined', 'ann'], ['joined', 'bob'], ['left', 'bob']]);
  assert.deepEqual(bob.given, [['joined', 'bob'], ['members', ['ann', 'bob']]]);
});

test('what is published too fast is refused, and said so', async () => {
  const topics = topicsOf();
  const ann = new Session();
  const long = publish('x'.repeat(9 * 2 ** 20));
  topics.act(ann, [subscribe(), long, long, publish('short')]);
  await carriedOut();
  assert.deepEqual(ann.given.map((given) => given.length), [9 * 2 ** 20, 2, 5]);
  assert.equal(ann.given[1][0], 'refused');
});

test('those who come back get what they missed', () => {
  const histories = new Histories();
  const add = (message, now = 0, size = 1) =>
    histories.add({ delivery: { topic: 'room', message, position: undefined }, size }, now);
  const read = (start, now = 0) => {
    const { missed, recovered } = histories.read('room', start, now);
    return [missed.map(({ delivery }) => delivery.message).join(''), recovered];
  };
  assert.deepEqual(histories.read('room', { tag: 'after', val: '' }, 0), { position: undefined, recovered: false, missed: [] });
  add('lost');
  histories.keep('room', Histories.allowed({ count: 3, seconds: 10 }));
  ['a', 'b', 'c', 'd'].forEach((message) => add(message));
  const { position } = histories.read('room', { tag: 'now' }, 0);
  assert.match(position, /^[\da-f]{16}-4$/);
  const after = (offset) => ({ tag: 'after', val: position.replace(/\d+$/, offset) });
  assert.deepEqual(read({ tag: 'now' }), ['', true]);
  assert.deepEqual(read({ tag: 'last', val: 2 }), ['cd', true]);
  assert.deepEqual(read({ tag: 'last', val: 9 }), ['bcd', true]);
  assert.deepEqual(read(after(4)), ['', true]);
  assert.deepEqual(read(after(1)), ['bcd', true]);
  for (const lost of [after(0), after(5), after('+4'), { tag: 'after', val: '0'.repeat(16) + '-4' }, { tag: 'after', val: '' }]) {
    assert.deepEqual(read(lost), ['', false], lost.val);
  }
  add('new', 9_000);
  assert.deepEqual(read({ tag: 'last', val: 9 }, 10_000), ['new', true]);
  add('long', 9_000, 2 ** 26);
  assert.deepEqual(read({ tag: 'last', val: 9 }, 10_000), ['long', true]);
  assert.equal(Histories.allowed({ count: 0, seconds: 10 }), undefined);
});

test('a queue is too long when more waits than one item', () => {
  const waiting = new Waiting();
  const publication = (topic, size) => ({ delivery: { topic }, size });
  waiting.push(publication('a', 2 ** 21));
  assert.ok(!waiting.isTooLong && !waiting.isEmpty);
  waiting.push({ tag: 'gap' });
  assert.ok(waiting.isTooLong);
  waiting.forget('a');
  assert.ok(!waiting.isTooLong);
  assert.equal(waiting.shift().tag, 'gap');
  assert.ok(waiting.isEmpty);
});
