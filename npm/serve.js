// A server for a single app, with the options of `wasocket serve`.

import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { App } from './node.js';
import { DEFAULTS, limitNames } from './node/options.js';

/** @typedef {import('./node/pool.js').Component} Component */

const LISTEN = '127.0.0.1:1234';

/** `callTimeout` is `--call-timeout` on the command line. */
const OPTIONS = Object.fromEntries(
  limitNames.map((name) => [name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`), name]),
);

/**
 * Serves an app until SIGINT or SIGTERM. With invalid arguments it prints the usage and ends with status 2.
 *
 * @param {Component} component
 * @param {string[]} args
 */
export function serve(component, args) {
  let app, address;
  try {
    const { listen, ...options } = parse(args);
    address = parseAddress(listen);
    app = new App(component, options);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage()}`);
    process.exitCode = 2;
    return;
  }
  const server = createServer(app.listener);
  app.attach(server);
  server.listen(address, () => {
    console.log(`Listening on http://${place(server.address())}/`);
  });
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, async () => {
      server.close();
      await app.close();
      server.closeAllConnections();
    });
  }
}

/** @param {string[]} args */
function parse(args) {
  const names = ['listen', ...Object.keys(OPTIONS)];
  const options = Object.fromEntries(names.map((name) => [name, { type: /** @type {const} */ ('string') }]));
  const { listen = LISTEN, ...values } = parseArgs({ args, options }).values;
  const limits = Object.entries(values).map(([name, value]) => [OPTIONS[name] ?? name, Number(value)]);
  return { listen: String(listen), ...Object.fromEntries(limits) };
}

/** @param {string} text */
function parseAddress(text) {
  const [, host, port] = /^(?:\[?([^\]]*?)\]?):([0-9]{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535) {
    throw new TypeError(`--listen is HOST:PORT, such as ${LISTEN}, not ${text}`);
  }
  return { host, port: Number(port) };
}

/** @param {ReturnType<import('node:http').Server['address']>} address */
function place(address) {
  if (address === null || typeof address === 'string') {
    return address;
  }
  return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

function usage() {
  const limits = Object.entries(OPTIONS).map(([name, key]) => `  --${name} N  (${DEFAULTS[key]})`);
  return ['Usage: node server.js [OPTIONS]', '', `  --listen HOST:PORT  (${LISTEN})`, ...limits].join('\n');
}
