// The bytes between a socket and a component's connection: something happens, the component is called, its effects
// are carried out. `wit/websocket-handler.wit` says what may happen, and in which order.

import { end } from './end.js';
import { Dead } from './pool.js';

/**
 * @typedef {import('node:net').Socket} Socket
 * @typedef {import('./pool.js').Instance} Instance
 * @typedef {import('./options.js').Limits} Limits
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').Connection} Connection
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').Takeover} Takeover
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').Report} Report
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').ShutdownReason} ShutdownReason
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Effects} Effects
 */

/** The most bytes of one `receive` (`websocket-handler.wit`). */
const MAX_RECEIVED = 65_536;
/** The longest time that Node's timers take. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Nanoseconds on a clock that never runs backwards. */
export const now = () => process.hrtime.bigint();

/** A socket in the hands of a component. */
export class Session {
  #socket;
  #instance;
  #connection;
  #farewell;
  #limits;
  #onEnd;
  #id;
  /** The socket is the component's, and no longer HTTP's. */
  #isServed = false;
  /** The component is done with the socket. */
  #hasEnded = false;
  /** The component wants nothing more to be read. */
  #isPaused = false;
  /** An earlier call has left output unsent. */
  #isStalled = false;
  /** The peer has finished sending, and the component does not know yet. */
  #isAtEof = false;
  #isShutDown = false;
  /** @type {bigint | undefined} */
  #wakeAt;
  /** What calls `wake`: armed for `#timerAt` or earlier. @type {NodeJS.Timeout | undefined} */
  #timer;
  #timerAt = 0n;
  /** @type {NodeJS.Immediate | undefined} */
  #atOnce;
  /** Why the socket has failed. @type {Error | undefined} */
  #error;
  /** What the component said of itself at the end. @type {Report | undefined} */
  #report;

  /**
   * @param {Socket} socket
   * @param {Instance} instance
   * @param {Takeover} takeover
   * @param {Limits} limits
   * @param {(error: Error | undefined, report: Report | undefined) => void} onEnd called once, when the socket is
   *   closed
   */
  constructor(socket, instance, takeover, limits, onEnd) {
    this.#socket = socket;
    this.#instance = instance;
    this.#connection = takeover.connection;
    this.#farewell = takeover.farewell;
    this.#limits = limits;
    this.#onEnd = onEnd;
    instance.places += 1;
    this.#id = instance.admit({ woken: () => this.#wake(), died: () => this.#die() });
  }

  /**
   * Tells the component that the socket is its own. Nothing has been sent when this fails.
   *
   * @param {Uint8Array} residual what was read behind the request
   * @returns {Effects}
   * @throws {Dead}
   */
  open(residual) {
    return this.#instance.call(() => this.#connection.open(now(), this.#id, residual));
  }

  /**
   * Serves the socket to its end. The head and what the component answered to `open` go out in one write.
   *
   * @param {Buffer} head
   * @param {Effects} opened
   */
  serve(head, opened) {
    this.#isServed = true;
    this.#socket.setNoDelay();
    // The server's, for requests and between them, is not for what is no HTTP any more.
    this.#socket.setTimeout(0);
    this.#socket.on('readable', () => this.#read());
    this.#socket.on('end', () => this.#eof());
    this.#socket.on('error', (error) => {
      this.#error = error;
    });
    this.#socket.on('timeout', () => this.#giveUp());
    this.#socket.on('close', () => this.#closed());
    this.#carryOut({ ...opened, output: Buffer.concat([head, opened.output]) });
    this.#read();
  }

  /** The socket goes back: the takeover is not made. */
  cancel() {
    this.#hasEnded = true;
    this.#leave();
  }

  /** @param {ShutdownReason} reason */
  shutdown(reason) {
    if (!this.#isShutDown && !this.#hasEnded) {
      this.#isShutDown = true;
      this.#call(() => this.#connection.shutdown(now(), reason));
      this.#read();
    }
  }

  #giveUp() {
    this.#socket.destroy(new Error('the client takes nothing of what it is sent'));
  }

  /** Closes the socket at once. */
  abort() {
    this.#socket.destroy();
  }

  /** @param {() => Effects} call */
  #call(call) {
    // A wake for any reason uses `wake-at` up; every call's effects replace it.
    this.#wakeAt = undefined;
    let effects;
    try {
      effects = this.#instance.call(call);
    } catch (error) {
      if (error instanceof Dead) {
        return; // `#die` has seen to it.
      }
      throw error;
    }
    this.#carryOut(effects);
  }

  /** @param {Effects} effects */
  #carryOut({ output, wakeAt, next, wakeOthers }) {
    this.#isPaused = next === 'pause';
    this.#wakeAt = wakeAt;
    this.#send(output);
    this.#instance.wake(wakeOthers);
    if (next === 'close') {
      this.#close();
    } else if (next === 'abort') {
      this.#conclude();
      this.#socket.destroy();
    } else {
      this.#arm();
    }
  }

  /** @param {Uint8Array} output */
  #send(output) {
    if (output.length === 0 || this.#socket.destroyed) {
      return;
    }
    this.#socket.write(output, () => this.#sent());
    const unsent = this.#socket.writableLength;
    if (unsent > this.#limits.memory * 2 ** 20) {
      this.#giveUp();
    } else if (unsent > 0 && !this.#isStalled) {
      this.#isStalled = true;
      this.#socket.setTimeout(this.#limits.sendTimeout * 1000);
    }
  }

  /** A write is done; perhaps it was the last. */
  #sent() {
    if (!this.#isStalled || this.#socket.writableLength > 0 || this.#hasEnded) {
      return;
    }
    this.#isStalled = false;
    this.#socket.setTimeout(0);
    this.#wake();
    this.#read();
  }

  #wake() {
    if (!this.#hasEnded) {
      this.#call(() => this.#connection.wake(now(), BigInt(this.#socket.writableLength)));
      this.#read();
    }
  }

  /** Sees to it that `wake` is called at the instant asked for. */
  #arm() {
    if (this.#wakeAt === undefined) {
      return;
    }
    const delay = this.#wakeAt - now();
    if (delay <= 0n) {
      // Behind what the sockets have to say: who is always to be called at once must not keep others waiting.
      this.#atOnce ??= setImmediate(() => this.#ring());
    } else if (this.#timer === undefined || this.#timerAt > this.#wakeAt) {
      // One that fires early is set again then; that is rarer than calls are.
      clearTimeout(this.#timer);
      this.#timerAt = this.#wakeAt;
      this.#timer = setTimeout(() => this.#ring(), Math.min(Number(delay / 1_000_000n) + 1, MAX_TIMER_MS));
    }
  }

  #ring() {
    clearTimeout(this.#timer);
    this.#timer = this.#atOnce = undefined;
    if (this.#wakeAt !== undefined && this.#wakeAt <= now()) {
      this.#wake();
    } else {
      this.#arm();
    }
  }

  get #mayReceive() {
    return !this.#hasEnded && !this.#isPaused && !this.#isStalled;
  }

  /** Gives the component what has arrived. What it does not want stays in the socket, and slows the peer down. */
  #read() {
    while (this.#mayReceive && this.#socket.readableLength > 0) {
      const bytes = this.#socket.read(Math.min(this.#socket.readableLength, MAX_RECEIVED));
      this.#call(() => this.#connection.receive(now(), bytes));
    }
    if (this.#mayReceive && this.#isAtEof) {
      this.#isAtEof = false;
      this.#call(() => this.#connection.receiveEof(now()));
    } else if (this.#mayReceive) {
      // Reads on; without it the stream would not say that it has ended.
      this.#socket.read(0);
    }
  }

  #eof() {
    this.#isAtEof = true;
    this.#read();
  }

  /** The socket is closed: it has failed, if the component has not ended yet. */
  #closed() {
    if (!this.#hasEnded) {
      try {
        this.#instance.wake(this.#instance.call(() => this.#connection.lost(now())));
      } catch (error) {
        if (!(error instanceof Dead)) {
          throw error;
        }
      }
      this.#conclude();
    }
    this.#onEnd(this.#error, this.#report);
  }

  /** The instance has ended: a socket never stays open without a component behind it. */
  #die() {
    if (this.#isServed && !this.#hasEnded) {
      this.#socket.write(this.#farewell);
      this.#close();
    }
  }

  #close() {
    this.#conclude();
    end(this.#socket);
  }

  /** The component has nothing more to do with the socket. It is asked for a report, if it still lives. */
  #conclude() {
    if (this.#hasEnded) {
      return;
    }
    this.#hasEnded = true;
    try {
      this.#report = this.#instance.call(() => this.#connection.report());
    } catch (error) {
      if (!(error instanceof Dead)) {
        throw error;
      }
    }
    this.#leave();
  }

  /** The component has had its last call. */
  #leave() {
    clearTimeout(this.#timer);
    clearImmediate(this.#atOnce);
    this.#instance.places -= 1;
    this.#instance.leave(this.#id, this.#connection);
  }
}
