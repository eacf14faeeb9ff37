// Many clients of the app `numbered` (tests/guests/numbered) at once, made with npm's `ws`. They check that nothing is
// lost, doubled, reordered or closed until the end of stdin.
//
//     node crowd.mjs ws://127.0.0.1:PORT
//
// Prints `ready` once the clients that stay are connected, and in the end what they have counted. Violations are
// printed to stderr, and the exit code is then 1.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';

const TIME_LIMIT_MS = 150_000; // the whole run
const DRAIN_LIMIT_MS = 30_000;
const STAYING = 300; // clients that stay
const ROOM_SIZE = 10;
const VISITING = 33; // clients that come and go, at any time

const server = process.argv[2]?.replace(/\/$/, '');
if (!server) {
  console.error('usage: crowd.mjs ws://HOST:PORT');
  process.exit(2);
}
const counts = { told: 0, said: 0, published: 0, heard: 0, pongs: 0, visits: 0 };
let isStopped = false;

function fail(text) {
  console.error('FAILED', text);
  process.exit(1);
}

class Client {
  told = 0; // messages, of both kinds
  echoes = []; // those on their way
  own = [];
  pings = [];
  said = 0; // by the app
  published = 0; // by this client
  heard = new Map();
  isFirst = false; // whether it joined before anyone published in the room
  isLeaving = false;

  constructor(name, socket) {
    this.name = name;
    this.socket = socket;
    socket.on('message', (data) => this.on(data));
    socket.on('pong', (data) => this.onPong(data.toString()));
    socket.on('error', (error) => fail(`${name}: ${error}`));
    this.closed = once(socket, 'close').then(([code, reason]) => {
      if (!this.isLeaving || code !== 1000) fail(`${name} was closed with ${code} ${reason}`);
    });
  }

  static async join(room, name, perMessageDeflate) {
    const socket = new WebSocket(`${server}/${room}?${name}`, { perMessageDeflate, handshakeTimeout: 20_000 });
    const client = new Client(name, socket);
    await once(socket, 'open');
    return client;
  }

  // Sends messages of all kinds, about one a second.
  async talk() {
    for (let kind = Math.floor(Math.random() * 16); !isStopped; kind++) {
      switch (kind % 16) {
        case 0:
          this.say('e', Buffer.from('long'.repeat(16 << 10)));
          break;
        case 1:
        case 9:
          await this.sayInFragments('fragment '.repeat(5000));
          break;
        case 2:
        case 7:
        case 12:
          this.say('p', 'to all');
          break;
        case 3:
        case 11:
          this.pings.push(String(Math.random()));
          this.socket.ping(this.pings.at(-1));
          break;
        case 4:
          this.say('e', 'compressible '.repeat(200));
          break;
        default:
          this.say('e', 'short');
      }
      await sleep(500 + Math.random() * 1000);
    }
  }

  say(kind, payload) {
    const head = this.number(kind, payload);
    const isText = typeof payload === 'string';
    this.socket.send(isText ? head + payload : Buffer.concat([Buffer.from(head), payload]));
  }

  // With pauses between them, and within a long one.
  async sayInFragments(payload) {
    const text = this.number('e', payload) + payload;
    for (let at = 0; at < text.length; at += 10_000) {
      const fin = at + 10_000 >= text.length;
      this.socket.send(text.slice(at, at + 10_000), { fin });
      if (!fin) await sleep(20);
    }
  }

  // The head of the next message, which is then on its way.
  number(kind, payload) {
    this.told++;
    counts.told++;
    if (kind === 'p') {
      this.published++;
      counts.published++;
    }
    (kind === 'p' ? this.own : this.echoes).push([this.told, payload.toString()]);
    return `${this.told} ${kind}\n`;
  }

  on(data) {
    const text = data.toString();
    const end = text.indexOf('\n');
    const head = text.slice(0, end);
    const words = head.split(' ');
    const got = [Number(words.at(-1)), text.slice(end + 1)];
    if (words.length === 2) {
      this.said++;
      counts.said++;
      this.expect(Number(words[0]) === this.said, this.said, head);
      this.next(this.echoes, got);
      return;
    }
    counts.heard++;
    const [name, number] = [words[0], Number(words[1])];
    const before = this.heard.get(name);
    const isNew = before === undefined && !this.isFirst;
    this.expect(isNew || number === (before ?? 0) + 1, (before ?? 0) + 1, head);
    this.heard.set(name, number);
    if (name === this.name) this.next(this.own, got);
  }

  onPong(payload) {
    const expected = this.pings.shift();
    if (payload !== expected) fail(`${this.name} expected a pong of ${expected}, got ${payload}`);
    counts.pongs++;
  }

  expect(holds, expected, head) {
    if (!holds) fail(`${this.name} expected number ${expected}, got '${head}'`);
  }

  next(waiting, [number, payload]) {
    const [first, expected] = waiting.shift() ?? [];
    if (first !== number || expected !== payload) {
      fail(`${this.name} expected message ${first}, got ${number} of ${payload.length} characters`);
    }
  }

  // Waits until everything that is on its way has arrived.
  drain() {
    const isEmpty = () => this.echoes.length + this.own.length + this.pings.length === 0;
    return this.waitUntil('what is on its way', isEmpty);
  }

  async waitUntil(what, holds) {
    for (const end = Date.now() + DRAIN_LIMIT_MS; !holds(); await sleep(5)) {
      if (Date.now() > end) {
        const [echoes, own, pings] = [this.echoes.length, this.own.length, this.pings.length];
        fail(`${this.name} still waits for ${what}: ${echoes} echoes, ${own} publications, ${pings} pongs`);
      }
    }
  }

  async leave() {
    this.isLeaving = true;
    this.socket.close(1000);
    await this.closed;
  }
}

// Comes and goes, until the end.
async function visit(i) {
  for (let n = 0; !isStopped; n++) {
    const client = await Client.join(`w${i % (STAYING / ROOM_SIZE)}`, `v${i}-${n}`, n % 2 === 0);
    for (const kind of 'epee') {
      client.say(kind, 'a visit');
      await sleep(Math.random() * 500);
    }
    await client.drain();
    await client.leave();
    counts.visits++;
  }
}

setTimeout(() => fail(`not over after ${TIME_LIMIT_MS} ms`), TIME_LIMIT_MS).unref();
const clients = [];
for (let i = 0; i < STAYING; i++) {
  const client = await Client.join(`w${Math.floor(i / ROOM_SIZE)}`, `w${i}`, i % 2 === 0);
  client.say('e', 'here');
  await client.drain();
  client.isFirst = true;
  clients.push(client);
}
console.log('ready');
process.stdin.resume().on('end', () => (isStopped = true));
const visitors = Array.from({ length: VISITING }, (_, i) => visit(i));
await Promise.all([...clients.map((client) => client.talk()), ...visitors]);
await Promise.all(clients.map((client) => client.drain()));
for (const [i, client] of clients.entries()) {
  const start = i - (i % ROOM_SIZE);
  const room = clients.slice(start, start + ROOM_SIZE);
  // All publishers have stopped.
  const hasHeard = ({ name, published }) => (client.heard.get(name) ?? 0) === published;
  await client.waitUntil('all publications', () => room.every(hasHeard));
}
await Promise.all(clients.map((client) => client.leave()));
console.log(JSON.stringify(counts));
process.exit(0);
