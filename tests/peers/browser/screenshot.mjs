// Takes the picture of the default page that the README shows: connected, with a few messages.
//
//     node screenshot.mjs ws://127.0.0.1:PORT FILE.png
//
// `make screenshot` does it. The environment variable CHROMIUM names another browser than Debian's.

import assert from 'node:assert/strict';
import { page, pageErrors, run, server } from './chromium.mjs';

const file = process.argv[3];
const MESSAGES = ['hello', 'Grüße aus Köln'];

await run({
  'the page connects': async () => {
    assert.ok(file, 'usage: node screenshot.mjs ws://HOST:PORT FILE.png');
    await page.setViewportSize({ width: 720, height: 440 });
    await page.goto(server.replace(/^ws/, 'http') + '/');
    await page.click('#connect');
    await page.locator('#state', { hasText: /^connected$/ }).waitFor();
  },

  'each message is answered': async () => {
    for (const [index, message] of MESSAGES.entries()) {
      await page.fill('#message', message);
      await page.press('#message', 'Enter');
      await page.locator('#log > li.received').nth(index).waitFor();
    }
  },

  'the picture is taken': async () => {
    await page.screenshot({ path: file, fullPage: true });
    assert.deepEqual(pageErrors, []);
  },
});
