// Uses the page of a project made by `wasocket new` in headless Chromium, as a person does. In its app, the test
// has replaced `messages` by `so far` (tests/commands/start.rs).
//
//     node new-page.mjs ws://127.0.0.1:PORT
//
// Prints one line per check and stops at the first failure. The environment variable CHROMIUM names
// another browser than Debian's.

import assert from 'node:assert/strict';

import { page, pageErrors, run, server } from './chromium.mjs';

const input = page.locator('input:enabled');
const lines = page.locator('li');

await run({
  'the page opens, and connects': async () => {
    await page.goto(server.replace(/^ws/, 'http') + '/');
    await input.waitFor();
  },

  'type, press Enter, see the answer': async () => {
    for (const message of ['hello', '<b>Grüße</b> 🦀']) {
      assert.equal(await answer(message), message);
    }
  },

  'the connection has state': async () => assert.equal(await answer('count'), '3 so far'),

  'the page raises no error': async () => assert.deepEqual(pageErrors, []),
});

/** Sends a message; returns the line that the page shows next. */
async function answer(message) {
  const before = await lines.count();
  await input.pressSequentially(message);
  await input.press('Enter');
  return lines.nth(before).textContent();
}
