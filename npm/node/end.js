// The end of a socket whose input is no longer wanted.

/** @typedef {import('node:net').Socket} Socket */

/** How long the last output may wait for a peer that has stopped reading. */
const FLUSH_TIMEOUT_MS = 5000;
/** For how long, and how much, a peer that keeps sending after the end is read. */
const LINGER_MS = 1000;
const LINGER_BYTES = 2 ** 20;

/**
 * Sends what is unsent, ends our direction, and discards for a short time what the peer still sends: closing with
 * unread input makes the system send a reset, which can erase the last bytes at the peer (RFC 9112 §9.6).
 *
 * @param {Socket} socket
 * @param {number} [timeout] how long the output may wait for a peer that has stopped reading, in milliseconds
 */
export function end(socket, timeout = FLUSH_TIMEOUT_MS) {
  let discarded = 0;
  const discard = () => {
    discarded += socket.read()?.length ?? 0;
    if (discarded > LINGER_BYTES) {
      socket.destroy();
    }
  };
  socket.on('readable', discard);
  socket.on('timeout', () => socket.destroy());
  socket.setTimeout(timeout);
  socket.end(() => setTimeout(() => socket.destroy(), LINGER_MS).unref());
  discard();
}
