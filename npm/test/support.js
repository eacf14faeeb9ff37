// Shared by the tests: components, servers, and a client that knows just enough to speak byte by byte.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The apps in other languages, which `tests/interop/targets` builds before it runs these tests. */
export const languages = `${root}target/languages/`;

/** Runs wasocket-transpile. */
export function transpile(component, target, output) {
  return spawnSync(process.execPath, [`${root}npm/transpile.js`, component, '--target', target, '-o', output], {
    encoding: 'utf8',
  });
}

/** The component of an app, fused with the protocol, as `component.js` has it. */
export async function component(app) {
  const folder = `${root}target/targets/npm-${app}`;
  const { stderr, status } = transpile(`${languages}fused-${app}.wasm`, 'node', folder);
  if (status !== 0) {
    throw new Error(stderr);
  }
  return (await import(pathToFileURL(`${folder}/component.js`).href)).default;
}

/** The component of an example in Rust, which includes the protocol: `tests/interop/targets/node.rs` makes the folder. */
export async function example(name) {
  return (await import(pathToFileURL(`${root}target/targets/${name}+-node/component.js`).href)).default;
}

/** The certificate of `localhost`, and its key. */
export function certificate() {
  const read = (name) => readFileSync(`${root}tests/support/tls/${name}.pem`);
  return { cert: read('certificate'), key: read('key') };
}

/** A server on a free port, which ends with the test. */
export async function serve(test, app, server = createServer(app.listener)) {
  app.attach(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(async () => {
    Client.destroyAll();
    server.close();
    await app.close();
    server.closeAllConnections();
  });
  return server.address().port;
}

export function handshake(path = '/', fields = '') {
  return (
    `GET ${path} HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${fields}` +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
  );
}

/** A masked frame, whose masking key is zero. */
export function frame(opcode, payload) {
  const length = Buffer.byteLength(payload);
  const head = length < 126 ? [0x80 | length] : [0xff, 0, 0, 0, 0, ...Buffer.from(length.toString(16).padStart(8, '0'), 'hex')];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...head, 0, 0, 0, 0]), Buffer.from(payload)]);
}

/** A socket, and the bytes received on it and not read. */
export class Client {
  static #all = new Set();
  #received = Buffer.alloc(0);

  static destroyAll() {
    Client.#all.forEach(({ socket }) => socket.destroy());
    Client.#all.clear();
  }

  constructor(port) {
    Client.#all.add(this);
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('error', () => {});
  }

  send(...parts) {
    this.socket.write(Buffer.concat(parts.map((part) => Buffer.from(part))));
  }

  /** The next bytes, of this number. */
  async read(length) {
    await this.#until(() => this.#received.length >= length);
    return this.#take(length);
  }

  /** The head of a response. */
  async head() {
    await this.#until(() => this.#received.includes('\r\n\r\n'));
    return this.#take(this.#received.indexOf('\r\n\r\n') + 4).toString('latin1');
  }

  /** An unmasked frame. */
  async frame() {
    const [first, length] = await this.read(2);
    const long = { 126: 2, 127: 8 }[length];
    const size = long ? Number(`0x${(await this.read(long)).toString('hex')}`) : length;
    return { opcode: first & 0x0f, payload: await this.read(size) };
  }

  /** Everything up to the end. */
  async rest() {
    let rest = Buffer.alloc(0);
    for await (const chunk of this.socket) {
      rest = Buffer.concat([rest, chunk]);
    }
    return Buffer.concat([this.#take(this.#received.length), rest]);
  }

  async #until(isThere) {
    while (!isThere()) {
      const chunk = this.socket.read();
      if (chunk) {
        this.#received = Buffer.concat([this.#received, chunk]);
      } else if (this.socket.readableEnded || this.socket.destroyed) {
        throw new Error(`the end, after ${JSON.stringify(this.#received.toString('latin1').slice(0, 200))}`);
      } else {
        await this.#news();
      }
    }
  }

  #news() {
    return new Promise((resolve) => {
      const there = () => {
        this.socket.off('readable', there).off('close', there);
        resolve();
      };
      this.socket.on('readable', there).on('close', there);
    });
  }

  #take(length) {
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }
}
