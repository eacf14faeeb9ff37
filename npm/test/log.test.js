// What `wasocket/node` logs of clients that are refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App } from '../node.js';
import { serve } from './support.js';

const HANDLER = 'wasocket:websocket/websocket-handler@0.1.0';
const REFUSAL = "this Origin is not allowed here: Origin 'http://a.test:81', Host 'a.test'";

/** An app that refuses every request. */
function refusing(log) {
  const response = { head: { status: 403, fields: [] }, body: new Uint8Array() };
  const answer = { tag: 'answer', val: { tag: 'respond', val: response } };
  const handle = () => ({ verdict: answer, wakeOthers: [], publications: [], refusal: REFUSAL });
  const component = { modules: {}, instantiate: () => ({ [HANDLER]: { handle } }) };
  return new App(component, { log: (line) => log.push(line), startTimeout: 10, callTimeout: 5000 });
}

test('says why clients are refused, ten times at most', async (t) => {
  const log = [];
  const port = await serve(t, refusing(log));
  for (let i = 0; i < 12; i += 1) {
    const { status } = await fetch(`http://127.0.0.1:${port}/chat?token=secret`);
    assert.equal(status, 403, log.join('\n'));
  }
  assert.equal(log.length, 10);
  for (const line of log) {
    assert.match(line, /^127\.0\.0\.1:[0-9]+ "\/chat": refused with 403: "this Origin is not allowed here: Origin 'http/);
    assert.doesNotMatch(line, /secret/);
  }
});
