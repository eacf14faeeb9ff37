// The options, with the names and defaults of `wasocket serve`.

/**
 * @typedef {object} Limits
 * @property {number} connectionsPerInstance how many connections share an instance, which all end if it fails
 * @property {number} memory the most memory of an instance, in MiB; checked after each call
 * @property {number} callTimeout the time a call into an instance may take, in milliseconds; 0 means no limit, and
 *   saves some 40 µs for each call
 * @property {number} startTimeout the time an instance may take to start, and the very first call, in seconds: V8
 *   compiles a function when it is called for the first time
 * @property {number} sendTimeout the time a client may stop reading, in seconds
 * @property {number} decisionTimeout the time the app may take to answer a request, in seconds
 * @property {number} shutdownTimeout the time connections have to end on `close()`, in seconds
 */

/**
 * The outcome of a connection that the app took over.
 *
 * @typedef {object} End
 * @property {string} [remote] the client's address and port
 * @property {string} path of the request, without its query, where pages put tokens
 * @property {number} duration in milliseconds
 * @property {Error} [error] of the socket, if it failed
 * @property {Report} [report] the component's report; undefined if its instance has ended
 *
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').Report} Report
 */

/**
 * @typedef {object} Listeners
 * @property {(line: string) => void} log logs the app's output and errors, and why an instance has ended.
 *   Default: `console.error`
 * @property {(end: End) => void} onEnd is called for each connection that has ended. Default: nothing
 *
 * @typedef {Partial<Limits & Listeners>} Options
 */

/** @type {Readonly<Limits>} */
export const DEFAULTS = Object.freeze({
  connectionsPerInstance: 32,
  memory: 64,
  callTimeout: 1000,
  startTimeout: 10,
  sendTimeout: 30,
  decisionTimeout: 30,
  shutdownTimeout: 5,
});

export const limitNames = /** @type {(keyof Limits)[]} */ (Object.keys(DEFAULTS));

/** The options that may be 0. */
const MAY_BE_ZERO = ['callTimeout', 'shutdownTimeout'];

/** The longest time that Node's timers take, in seconds. */
const MAX = 2 ** 31 / 1000 - 1;

/**
 * @param {Options} options
 * @returns {Limits}
 * @throws {TypeError | RangeError} on an unknown option, or an invalid value
 */
export function limitsOf({ log: _, onEnd: __, ...options }) {
  for (const [name, value] of Object.entries(options)) {
    if (!(name in DEFAULTS)) {
      throw new TypeError(`there is no option ${name}, but ${limitNames.join(', ')}, log, onEnd`);
    }
    const least = MAY_BE_ZERO.includes(name) ? 0 : 1;
    if (!Number.isInteger(value) || value < least || value > MAX) {
      throw new RangeError(`the option ${name} is a whole number from ${least}, not ${value}`);
    }
  }
  return { ...DEFAULTS, ...options };
}
