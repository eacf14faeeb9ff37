// Headless Chromium with one page, and checks that run one after the other.

import { chromium } from 'playwright-core';

const TIME_LIMIT_MS = 50_000; // the whole run
const STEP_LIMIT_MS = 15_000; // as long as a person would wait

/** The URL of the server, without the slash, from the command line: `node SCRIPT ws://HOST:PORT`. */
export const server = process.argv[2]?.replace(/\/$/, '');
if (!server) {
  console.error('usage: node SCRIPT ws://HOST:PORT');
  process.exit(2);
}

// The tests' certificate is self-signed.
const isSecure = server.startsWith('wss:');

let running = 'Chromium starts';
setTimeout(() => fail(running, `not over ${TIME_LIMIT_MS} ms after the start`), TIME_LIMIT_MS).unref();

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // No sandbox, with which Chromium refuses to run as root. The other options avoid traffic of its own.
  chromiumSandbox: false,
  args: ['--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ...(isSecure ? ['--ignore-certificate-errors'] : [])],
});

export const page = await browser.newPage({ ignoreHTTPSErrors: isSecure });
page.setDefaultTimeout(STEP_LIMIT_MS);

/** Errors thrown by the page's scripts. */
export const pageErrors = [];
page.on('pageerror', (error) => pageErrors.push(error.message));

/** Runs named checks, and prints one line for each. Exits at the first failure. */
export async function run(checks) {
  for (const [name, check] of Object.entries(checks)) {
    running = name;
    try {
      await check();
    } catch (error) {
      fail(name, error.message);
    }
    console.log('ok', name);
  }
  await browser.close();
}

/** Playwright ends its browser when this process exits. */
function fail(name, message) {
  console.error(`FAILED ${name}: ${message}`);
  process.exit(1);
}
