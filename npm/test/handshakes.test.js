// The opening handshakes of tests/vectors under the rules of `wasocket/workers`, and those it answers differently. The
// platform's own steps before that, such as parsing HTTP and checking the version, are not tested here.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { refusal, subprotocol, wantsWebSocket } from '../workers/handshake.js';

const vectors = JSON.parse(readFileSync(new URL('../../tests/vectors/handshakes.json', import.meta.url), 'utf8'));

/** The names of the vectors that the platform refuses: malformed HTTP, and its own checks of the handshake. */
const REFUSED_BY_THE_PLATFORM =
  /^(Connection|versions? |HTTP\/1\.0|another expectation|a target|an absolute target|Host missing|extensions malformed)/;

/** The statuses of the others, where they differ from the vectors. */
const DIFFERENT = {
  // Stricter: `websocket` has to be the only protocol.
  'Upgrade on two lines': 400,
  'Upgrade alongside a versioned protocol': 400,
  'Upgrade on two lines, one of them empty': 400,
  'empty elements and unusual white space': 400,
  // Refused as well, with another status.
  'Origin repeated': 403,
  'Origin repeated, one foreign': 403,
  'Upgrade inside a quoted string': 400,
  // `Host` decides; on the platform it is always the target's host.
  'same origin as Host, not as the absolute target': 101,
  'same origin as the absolute target': 403,
};

/** The request as the platform presents it: lines of one name are joined, and values have no white space around them. */
function toRequest([first, ...lines]) {
  const [method, target] = first.split(' ');
  const fields = new Map();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '');
    fields.set(name, fields.has(name) ? `${fields.get(name)}, ${value}` : value);
  }
  return {
    method,
    url: `http://a.test${target.startsWith('/') ? target : '/'}`,
    headers: { get: (name) => fields.get(name.toLowerCase()) ?? null, has: (name) => fields.has(name.toLowerCase()) },
  };
}

/** The platform hands over only what asks for a WebSocket; the vectors' app answers the rest with 426. */
function statusOf(request) {
  return wantsWebSocket(request) ? (refusal(request, { fields: [] })?.response.head.status ?? 101) : 426;
}

test('a refusal says what was compared, and no secret', () => {
  const lines = ['GET /?token=secret HTTP/1.1', 'Host: a.test', 'Upgrade: websocket', 'Connection: Upgrade',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13'];
  const reason = (...more) => refusal(toRequest([...lines, ...more]), { fields: [] })?.reason;
  const behindNginx = "this Origin is not allowed here: Origin 'http://a.test:8080', Host 'a.test'";
  assert.equal(reason('Origin: http://a.test:8080'), behindNginx);
  assert.equal(reason("Origin: x', Host 'b\u{e4}"), String.raw`this Origin is not allowed here: Origin 'x\u{27}, Host \u{27}b\u{e4}', Host 'a.test'`);
  assert.doesNotMatch(reason('Sec-WebSocket-Protocol: secret, secret'), /secret/);
});

/** The vectors' app prefers `chat` to `superchat`. */
function selected(request) {
  return subprotocol(request, 'chat') ?? subprotocol(request, 'superchat');
}

test('opening handshakes get the statuses and subprotocols of the vectors', () => {
  const parsed = vectors.filter(({ request }) => request);
  assert.ok(parsed.length > 300);
  const different = {};
  for (const { name, request: lines, status, has } of parsed) {
    const request = toRequest(lines.map((line) => (Array.isArray(line) ? line[0].repeat(line[1]) : line)));
    const own = statusOf(request);
    if (status !== 101 && REFUSED_BY_THE_PLATFORM.test(name)) {
      continue;
    }
    if (own !== status) {
      different[name] = own;
    } else if (status === 101) {
      const line = has.find((field) => /^sec-websocket-protocol:/i.test(field));
      assert.equal(selected(request), line?.split(':')[1].trim(), name);
    }
  }
  assert.deepEqual(different, DIFFERENT);
});
