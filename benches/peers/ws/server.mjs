// An echo made with npm's `ws`, from the copy installed for the tests.
//
//     node server.mjs [--version]

import { createRequire } from 'node:module';

const require = createRequire(new URL('../../../tests/peers/ws/', import.meta.url));
const { WebSocketServer } = require('ws');

if (process.argv[2] === '--version') {
  console.log(`${require('ws/package.json').version} (Node.js ${process.version})`);
  process.exit();
}

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  // The compression level of the others.
  perMessageDeflate: { threshold: 256, zlibDeflateOptions: { level: 1 } },
});
server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}/`));
server.on('connection', (socket) => {
  // The load generator resets its connections.
  socket.on('error', () => socket.terminate());
  socket.on('message', (payload, isBinary) => socket.send(payload, { binary: isBinary }));
});
