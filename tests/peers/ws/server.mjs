// An echo server made with npm's `ws`, for `wasocket connect`.
//
//     node server.mjs
//
// tests/peers/run describes its paths.

import { WebSocketServer } from 'ws';

const TIME_LIMIT_MS = 50_000; // the whole run
const BIG = Buffer.from('Gruß 世界🦀'.repeat(1 << 16)); // 1 MiB
const FRAGMENT = 10_007; // bytes, so that characters are split

setTimeout(() => {
  console.error(`still serving after ${TIME_LIMIT_MS} ms`);
  process.exit(1);
}, TIME_LIMIT_MS);
process.stdin.resume().on('end', () => process.exit());

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => offered.has('chat') && 'chat',
  verifyClient: ({ req }, done) => done(req.url !== '/refuse', 403, 'not for you\n'),
});
server.on('listening', () => console.log(`ws://127.0.0.1:${server.address().port}`));
server.on('connection', (socket, { url }) => {
  // A protocol violation is an 'error' event: without a listener, it ends the process with a message.
  socket.on('message', (payload, isBinary) => socket.send(payload, { binary: isBinary }));
  if (url === '/close') socket.close(4321, 'enough');
  if (url === '/big') sendBig(socket);
});

function sendBig(socket) {
  for (let start = 0; start < BIG.length; start += FRAGMENT) {
    const end = start + FRAGMENT;
    socket.send(BIG.subarray(start, end), { binary: false, fin: end >= BIG.length });
  }
}
