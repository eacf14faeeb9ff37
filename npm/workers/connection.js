// The state of a connection, kept as the attachment of its WebSocket: it outlives the object's sleep.

/**
 * A subscription in effect.
 *
 * @typedef {object} Subscribed
 * @property {string} topic
 * @property {Uint8Array | undefined} member
 * @property {boolean} watchMembers
 * @property {import('../contract/interfaces/wasocket-websocket-app.js').Receiver} receiver
 */

/**
 * @typedef {object} Connection
 * @property {string} id
 * @property {Uint8Array} state
 * @property {Subscribed[]} topics
 * @property {number} maxMessageSize
 * @property {boolean} hasEnded the app has been told of the end, and is told nothing after that
 */

/**
 * @param {WebSocket} socket
 * @returns {Connection}
 */
export function connectionOf(socket) {
  return /** @type {Connection} */ (socket.deserializeAttachment());
}

/**
 * @param {WebSocket} socket
 * @param {Connection} connection
 * @throws {Error} when the platform does not keep it, because it is too long
 */
export function keep(socket, connection) {
  socket.serializeAttachment(connection);
}

/**
 * A connection that has ended: its state is of no more use, and may be what the platform has refused to keep.
 *
 * @param {WebSocket} socket
 * @param {Connection} connection
 */
export function end(socket, connection) {
  keep(socket, { ...connection, state: new Uint8Array(), topics: [], hasEnded: true });
}
