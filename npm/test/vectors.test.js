// The opening handshakes of tests/vectors, through Node's HTTP parser, and those it reads differently.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { App } from '../node.js';
import { Client, component, serve } from './support.js';

const vectors = JSON.parse(readFileSync(new URL('../../tests/vectors/handshakes.json', import.meta.url), 'utf8'));

/** Node's statuses where they differ from the vectors; `docs/targets/node.md` lists them, too. */
const DIFFERENT = {
  // Looser.
  'two spaces before the target': 101,
  'two spaces after the target': 101,
  'a request line that is too long': 101,
  // Stricter.
  'a higher minor version of HTTP': 400,
  'Connection with tabs': 501,
  // Refused as well, with another status.
  '2000 fields': 404, // Node drops those at the end, among them Upgrade.
  'Transfer-Encoding in HTTP/1.0': 426,
  'a path as the target of CONNECT': 'none',
  'a request line that never ends': 431,
  'method GETT': 400,
  'method Get': 400,
  'method get': 400,
  'no version': 426,
  'the preface of HTTP/2': 400,
  'version HTTP/0.9': 426,
  'version HTTP/2.0': 404, // Where Upgrade has no meaning.
  'version HTTP/3.0': 400,
};

/** A part may be repeated: `["a", 100]`. */
const text = (part) => (Array.isArray(part) ? part[0].repeat(part[1]) : part);

const bytesOf = ({ raw, request }) =>
  Buffer.from(raw ? raw.map(text).join('') : `${request.map(text).join('\r\n')}\r\n\r\n`, 'latin1');

async function statusOf(port, vector) {
  const client = new Client(port);
  client.send(bytesOf(vector));
  // A head that never ends gets no answer; the client ends it, so that the server need not wait.
  client.socket.end();
  try {
    for (;;) {
      const [, status] = /^HTTP\/1.1 (\d+)/.exec(await client.head());
      if (status !== '100') {
        return Number(status);
      }
    }
  } catch {
    return 'none';
  } finally {
    client.socket.destroy();
  }
}

test('opening handshakes get the statuses of the vectors, except the documented ones', async (t) => {
  const port = await serve(t, new App(await component('echo'), { callTimeout: 0 }));
  assert.ok(vectors.length > 300);
  const different = {};
  for (const vector of vectors) {
    const status = await statusOf(port, vector);
    // If `Upgrade` lacks `websocket`, the vectors' app answers 426, and this one that there is no page.
    if (status !== vector.status && !(vector.status === 426 && status === 404)) {
      different[vector.name] = status;
    }
  }
  assert.deepEqual(different, DIFFERENT);
});
