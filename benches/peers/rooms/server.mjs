// Rooms made with npm packages: whatever a member sends goes to all members. On the path /idle, or for Socket.IO with
// the query `idle`, a connection is no member.
//
//     node server.mjs ws|socket.io|crossws [--version]

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [name, option] = process.argv.slice(2);

if (option === '--version') {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  console.log(`${JSON.parse(readFileSync(file)).version} (Node.js ${process.version})`);
  process.exit();
}

const rooms = { ws, 'socket.io': socketIo, crossws };
const server = createServer();
await rooms[name](server);
server.listen(0, '127.0.0.1', 511, () => console.log(`http://127.0.0.1:${server.address().port}/`));

// The loop of ws's README.
async function ws(server) {
  const { WebSocket, WebSocketServer } = await import('ws');
  const members = new Set();
  // The compression level of the others, and no least length of what is compressed.
  const perMessageDeflate = { threshold: 0, zlibDeflateOptions: { level: 1 } };
  const rooms = new WebSocketServer({ server, perMessageDeflate });
  rooms.on('connection', (socket, request) => {
    if (request.url !== '/idle') members.add(socket);
    // The load generator resets its connections.
    socket.on('error', () => socket.terminate());
    socket.on('close', () => members.delete(socket));
    socket.on('message', (data, isBinary) => {
      for (const member of members) {
        if (member.readyState === WebSocket.OPEN) member.send(data, { binary: isBinary });
      }
    });
  });
}

// Members that were opened first are silent until the last one is open.
async function socketIo(server) {
  const { Server } = await import('socket.io');
  const options = { transports: ['websocket'], serveClient: false, pingTimeout: 120_000 };
  const rooms = new Server(server, options);
  rooms.on('connection', (socket) => {
    if (!('idle' in socket.handshake.query)) socket.join('room');
    socket.on('m', (message) => rooms.to('room').emit('m', message));
  });
}

async function crossws(server) {
  const { default: adapter } = await import('crossws/adapters/node');
  const rooms = adapter({
    hooks: {
      open(peer) {
        if (new URL(peer.request.url).pathname !== '/idle') peer.subscribe('room');
      },
      message(peer, message) {
        const text = message.text();
        // Leaves out the publisher.
        peer.publish('room', text);
        peer.send(text);
      },
      error() {},
    },
  });
  server.on('upgrade', (request, socket, head) => rooms.handleUpgrade(request, socket, head));
}
