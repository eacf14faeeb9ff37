// The bytes between a socket and a component's connection: something happens, the component is called, its effects
// are carried out. `Turn` says which call may come next.

import { now } from './clock.js';
import { deliverTo } from './deliver.js';
import { end } from './end.js';
import { Dead } from './pool.js';
import { Turn } from './turn.js';
import { Waiting } from './waiting.js';

/**
 * @typedef {import('node:net').Socket} Socket
 * @typedef {import('./pool.js').Instance} Instance
 * @typedef {import('./options.js').Limits} Limits
 * @typedef {import('./topics.js').Publication} Publication
 * @typedef {import('./topics.js').Topics} Topics
 * @typedef {import('./turn.js').Call} Call
 * @typedef {import('./turn.js').Ending} Ending
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').Connection} Connection
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').Takeover} Takeover
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').Report} Report
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').ShutdownReason} ShutdownReason
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Effects} Effects
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').TopicAction} TopicAction
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').TopicEvent} TopicEvent
 * @typedef {Omit<Effects, 'wakeOthers'>} Outcome
 */

/** The most bytes of one `receive` (`websocket-handler.wit`). */
const MAX_RECEIVED = 65_536;
/** The longest time that Node's timers take. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A socket in the hands of a component. */
export class Session {
  /** The names of the topics that it subscribes to: `Topics` keeps them. @type {Set<string>} */
  topics = new Set();
  /** @readonly */
  instance;
  /** @readonly */
  connection;
  #socket;
  #topics;
  #finalBytes;
  #limits;
  #onEnd;
  #onBug;
  #id;
  /** Whether the component has the socket, which is no longer HTTP. */
  #isServed = false;
  #turn = new Turn();
  /** The peer has finished sending, whether or not the component knows. */
  #isAtEof = false;
  /** Calls `wake`: armed for `#timerAt` or earlier. @type {NodeJS.Timeout | undefined} */
  #timer;
  #timerAt = 0n;
  /** @type {NodeJS.Immediate | undefined} */
  #atOnce;
  #waiting = new Waiting();
  /** Why the socket has failed. @type {Error | undefined} */
  #error;
  /** The component's report. @type {Report | undefined} */
  #report;

  /**
   * @param {Socket} socket
   * @param {Instance} instance
   * @param {Takeover} takeover
   * @param {Topics} topics
   * @param {Limits} limits
   * @param {(error: Error | undefined, report: Report | undefined) => void} onEnd called once, when the socket is
   *   closed
   * @param {(error: unknown) => void} onBug called with an exception that nothing expects, which ends the connection
   */
  constructor(socket, instance, takeover, topics, limits, onEnd, onBug) {
    this.#socket = socket;
    this.#topics = topics;
    this.instance = instance;
    this.connection = takeover.connection;
    this.#finalBytes = takeover.finalBytes;
    this.#limits = limits;
    this.#onEnd = onEnd;
    this.#onBug = onBug;
    instance.places += 1;
    this.#id = instance.admit({
      woken: this.#contained(() => this.#wake(this.#turn.onWoken())),
      died: this.#contained(() => this.#die()),
    });
  }

  /**
   * Hands the socket over to the component. Nothing has been sent when this fails.
   *
   * @param {Uint8Array} residual the bytes read after the request
   * @returns {Effects}
   * @throws {Dead}
   */
  open(residual) {
    return this.instance.call(() => this.connection.open(now(), this.#id, residual));
  }

  /**
   * Serves the socket to its end. The head and the output of `open` go out in one write.
   *
   * @param {Buffer} head
   * @param {Effects} opened
   */
  serve(head, opened) {
    this.#contained(() => this.#serve(head, opened))();
  }

  /**
   * @param {Buffer} head
   * @param {Effects} opened
   */
  #serve(head, opened) {
    this.#isServed = true;
    this.#socket.setNoDelay();
    // The server's timeouts are for requests and between them, and this is no longer HTTP.
    this.#socket.setTimeout(0);
    this.#socket.on('readable', this.#contained(() => this.#read()));
    this.#socket.on('end', this.#contained(() => this.#eof()));
    this.#socket.on('error', (error) => {
      this.#error = error;
    });
    this.#socket.on('timeout', () => this.#giveUp());
    this.#socket.on('close', this.#contained(() => this.#closed()));
    this.#carryOut({ ...opened, output: Buffer.concat([head, opened.output]) });
    this.#read();
  }

  /** Cancels the takeover, and gives the socket back to HTTP. */
  cancel() {
    this.#leave();
  }

  /** @param {ShutdownReason} reason */
  shutdown(reason) {
    this.#contained(() => {
      if (this.#turn.onStop() !== undefined) {
        this.#call(() => this.connection.shutdown(now(), reason));
        this.#read();
      }
    })();
  }

  /**
   * For everything that does not run inside a call of `App`: nothing else would catch what it throws.
   *
   * @param {() => void} act
   */
  #contained(act) {
    return () => {
      try {
        act();
      } catch (error) {
        this.#onBug(error);
      }
    };
  }

  #giveUp() {
    this.#socket.destroy(new Error('the client has stopped reading'));
  }

  /** Closes the socket at once. */
  abort() {
    this.#socket.destroy();
  }

  /** Whether the component has the socket. */
  get isOpen() {
    return this.#turn.isOpen;
  }

  /** Whether a publication may be delivered right now. */
  get takesNow() {
    return this.#turn.mayDeliver && this.#waiting.isEmpty;
  }

  /**
   * A publication for this connection alone.
   *
   * @param {Publication} publication
   */
  give(publication) {
    if (this.takesNow) {
      deliverTo(this.instance, publication, [this]);
    } else {
      this.keepWaiting(publication);
    }
  }

  /**
   * Something has happened on a topic that concerns this connection alone.
   *
   * @param {TopicEvent} event
   */
  tell(event) {
    if (this.takesNow) {
      this.#tell(event);
    } else {
      this.keepWaiting(event);
    }
  }

  /**
   * Keeps something until the peer has taken its output. A peer that does not keep up is given up, so that the others
   * need not wait for it.
   *
   * @param {Publication | TopicEvent} item
   */
  keepWaiting(item) {
    if (!this.isOpen) {
      return;
    }
    this.#waiting.push(item);
    if (this.#waiting.isTooLong) {
      this.#topics.leave(this, [...this.topics]);
      this.#waiting.clear();
      this.#tell({ tag: 'too-slow' });
    }
  }

  /**
   * The connection has left a topic: what waits of it is of no more use.
   *
   * @param {string} topic
   */
  forget(topic) {
    this.#waiting.forget(topic);
  }

  /** @param {Outcome} outcome what the connection does with a publication */
  onOutcome(outcome) {
    this.#contained(() => {
      if (this.isOpen) {
        this.#carryOut({ ...outcome, wakeOthers: new BigUint64Array() });
        this.#read();
      }
    })();
  }

  /** @param {Uint8Array | undefined} bytes what the connection and others are sent */
  onForm(bytes) {
    this.#contained(() => {
      if (bytes && this.isOpen) {
        this.#send(bytes);
      }
    })();
  }

  /** @param {TopicEvent} event */
  #tell(event) {
    this.#contained(() => {
      this.#call(() => this.connection.tell(now(), event));
      this.#read();
    })();
  }

  /** Passes on what has waited for the peer to take its output. */
  #catchUp() {
    while (this.#turn.mayDeliver) {
      const item = this.#waiting.shift();
      if (!item) {
        return;
      }
      if ('delivery' in item) {
        deliverTo(this.instance, item, [this]);
      } else {
        this.#tell(item);
      }
    }
  }

  /** @param {() => Effects} call */
  #call(call) {
    let effects;
    try {
      effects = this.instance.call(call);
    } catch (error) {
      if (error instanceof Dead) {
        return; // `#die` has handled it.
      }
      throw error;
    }
    this.#carryOut(effects);
  }

  /** @param {Effects} effects */
  #carryOut({ output, wakeAt, next, wakeOthers, topics }) {
    const ending = this.#turn.onEffects(next, wakeAt);
    this.#send(output);
    // Of a connection that has ended, only the publications are left.
    this.#topics.act(this, ending === undefined ? topics : topics.filter(({ tag }) => tag === 'publish'));
    this.instance.wake(wakeOthers);
    if (ending === undefined) {
      this.#arm();
    } else {
      this.#end(ending);
    }
  }

  /** @param {Uint8Array} output */
  #send(output) {
    if (output.length === 0 || this.#socket.destroyed) {
      return;
    }
    this.#socket.write(output, this.#contained(() => this.#sent()));
    const unsent = this.#socket.writableLength;
    if (unsent > this.#limits.memory * 2 ** 20) {
      this.#giveUp();
    } else if (unsent > 0) {
      if (this.#turn.unsent === 0) {
        this.#socket.setTimeout(this.#limits.sendTimeout * 1000);
      }
      this.#turn.onSent(unsent);
    }
  }

  /** A write is done, possibly the last. */
  #sent() {
    if (this.#turn.unsent > 0 && this.#socket.writableLength === 0 && this.#turn.isOpen) {
      this.#socket.setTimeout(0);
      this.#wake(this.#turn.onSent(0));
      this.#catchUp();
    }
  }

  /** @param {Call | undefined} call what `Turn` makes of an event that may earn a wake */
  #wake(call) {
    if (call === 'wake') {
      this.#call(() => this.connection.wake(now(), BigInt(this.#socket.writableLength)));
      this.#read();
    }
  }

  /** Makes sure that `wake` is called at the requested instant. */
  #arm() {
    const { wakeAt } = this.#turn;
    if (wakeAt === undefined) {
      return;
    }
    const delay = wakeAt - now();
    if (delay <= 0n) {
      // After the sockets have had their say: a connection that always wants to be called at once must not keep
      // others waiting.
      this.#atOnce ??= setImmediate(this.#contained(() => this.#ring()));
    } else if (this.#timer === undefined || this.#timerAt > wakeAt) {
      // A timer that fires early is set again then, which is rarer than calls are.
      clearTimeout(this.#timer);
      this.#timerAt = wakeAt;
      this.#timer = setTimeout(this.#contained(() => this.#ring()), Math.min(Number(delay / 1_000_000n) + 1, MAX_TIMER_MS));
    }
  }

  #ring() {
    clearTimeout(this.#timer);
    this.#timer = this.#atOnce = undefined;
    const call = this.#turn.onTime(now());
    if (call === undefined) {
      this.#arm();
    } else {
      this.#wake(call);
    }
  }

  /** Gives the component the bytes that have arrived. Those it does not want stay in the socket, and slow the peer down. */
  #read() {
    while (this.#turn.mayReceive && this.#socket.readableLength > 0) {
      const bytes = this.#socket.read(Math.min(this.#socket.readableLength, MAX_RECEIVED));
      this.#call(() => this.connection.receive(now(), bytes));
    }
    if (this.#isAtEof) {
      if (this.#turn.onEof() !== undefined) {
        this.#call(() => this.connection.receiveEof(now()));
      }
    } else if (this.#turn.mayReceive) {
      // Keeps reading: otherwise the stream would not say that it has ended.
      this.#socket.read(0);
    }
  }

  #eof() {
    this.#isAtEof = true;
    this.#read();
  }

  /** The socket is closed: it has failed, if the component has not ended yet. */
  #closed() {
    try {
      if (this.#turn.onLost() !== undefined) {
        this.#lose();
      }
    } finally {
      this.#onEnd(this.#error, this.#report);
    }
  }

  #lose() {
    try {
      const { wakeOthers, publications } = this.instance.call(() => this.connection.lost(now()));
      this.instance.wake(wakeOthers);
      this.#topics.publish(publications, this);
    } catch (error) {
      if (!(error instanceof Dead)) {
        throw error;
      }
    } finally {
      this.#conclude();
    }
  }

  /** The instance has ended: a socket never stays open without a component behind it. */
  #die() {
    const ending = this.#isServed ? this.#turn.onDied() : undefined;
    if (ending !== undefined) {
      this.#end(ending);
    }
  }

  /** @param {Ending} ending */
  #end(ending) {
    if (ending === 'final-bytes') {
      this.#socket.write(this.#finalBytes);
    }
    this.#conclude();
    if (ending === 'abort') {
      this.#socket.destroy();
    } else {
      end(this.#socket, this.#limits.sendTimeout * 1000);
    }
  }

  /** The component is done with the socket. If its instance is alive, it is asked for a report. */
  #conclude() {
    if (this.#turn.onReport() !== undefined) {
      try {
        this.#report = this.instance.call(() => this.connection.report());
      } catch (error) {
        if (!(error instanceof Dead)) {
          throw error;
        }
      }
    }
    this.#leave();
  }

  /** The component has had its last call. */
  #leave() {
    clearTimeout(this.#timer);
    clearImmediate(this.#atOnce);
    this.#waiting.clear();
    this.#topics.leave(this, [...this.topics]);
    this.instance.places -= 1;
    this.instance.leave(this.#id, this.connection);
  }
}
