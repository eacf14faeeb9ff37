// Uses the default app's page in headless Chromium as a person does.
//
//     node default-page.mjs ws://127.0.0.1:PORT
//
// Prints one line per check and stops at the first failure. The environment variable CHROMIUM names
// another browser than Debian's.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { page, pageErrors, run, server } from './chromium.mjs';

await run({
  'the page opens, not connected': async () => {
    await page.goto(server.replace(/^ws/, 'http') + '/');
    await expectDisconnected();
  },

  'connect to /, type, press Send, see the answer': async () => {
    await connect('/');
    await type('hello');
    const answer = await nextEvent('received', () => page.click('#send'));
    expectBegins(answer, 'Received:  hello');
  },

  'Enter sends too, and the log shows what was sent': async () => {
    await type('Grüße, 世界 🦀');
    const answer = await nextEvent('received', async () => {
      const sent = await nextEvent('sent', () => page.press('#message', 'Enter'));
      expectBegins(sent, 'Grüße, 世界 🦀');
    });
    expectBegins(answer, 'Received:  Grüße, 世界 🦀');
  },

  'disconnect, see the close code': disconnect,

  'connect to /echo, send, see the message unchanged': async () => {
    await connect('/echo');
    const message = '<b>not  markup</b> 🦀';
    await type(message);
    const echo = await nextEvent('received', () => page.click('#send'));
    expectBegins(echo, message);
    await disconnect();
  },

  'the page raises no error': async () => assert.deepEqual(pageErrors, []),

  'a page of another origin is refused with 403': async () => {
    const foreign = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html>'));
    foreign.listen(0, '127.0.0.1');
    await once(foreign, 'listening');
    await page.goto(`http://127.0.0.1:${foreign.address().port}/`);

    // The script learns only code 1006; the status is visible to the developer tools alone.
    const refusal = new Promise((resolve) => {
      page.on('websocket', (socket) => socket.on('socketerror', resolve));
    });
    const outcome = await page.evaluate((url) => new Promise((resolve) => {
      const socket = new WebSocket(url);
      socket.onopen = () => resolve('open');
      socket.onclose = ({ code }) => resolve(code);
    }), server + '/echo');
    assert.equal(outcome, 1006);
    assert.match(await refusal, /Unexpected response code: 403/);
    foreign.close();
  },
});

async function connect(endpoint) {
  await page.selectOption('#endpoint', endpoint);
  assert.equal(await page.textContent('#connect'), 'Connect');
  await nextEvent('open', () => page.click('#connect'));
  await expectState('connected');
  assert.equal(await page.textContent('#connect'), 'Disconnect');
}

async function disconnect() {
  const closed = await nextEvent('closed', () => page.click('#connect'));
  assert.match(closed, /\b1000\b/);
  await expectDisconnected();
}

async function expectDisconnected() {
  await expectState('disconnected');
  assert.equal(await page.textContent('#connect'), 'Connect');
  assert.ok(await page.isDisabled('#send'), 'Send is enabled');
}

async function expectState(state) {
  await page.locator('#state', { hasText: new RegExp(`^${state}$`) }).waitFor();
}

/** Types key by key, as a person does. */
async function type(message) {
  await page.fill('#message', '');
  await page.locator('#message').pressSequentially(message);
}

/** The text of the first entry of this kind that the action adds to the log. */
async function nextEvent(kind, action) {
  const entries = page.locator(`#log > li.${kind}`);
  const before = await entries.count();
  await action();
  return entries.nth(before).textContent();
}

function expectBegins(text, beginning) {
  assert.equal(text.slice(0, beginning.length), beginning);
}
