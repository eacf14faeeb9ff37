// What may be set, with the names and defaults of `wasocket serve`.

/**
 * @typedef {object} Limits
 * @property {number} connectionsPerInstance how many connections share an instance, and its fate should it fail
 * @property {number} memory what an instance may take, in MiB; looked at after each call
 * @property {number} callTimeout the time a call into an instance may take, in milliseconds; 0 is any time, and
 *   saves some 40 µs for each call
 * @property {number} sendTimeout the time a client may take nothing of what it is sent, in seconds
 * @property {number} decisionTimeout the time the app may take to answer a request, in seconds
 * @property {number} shutdownTimeout the time connections have to end on `close()`, in seconds
 */

/**
 * @typedef {Partial<Limits> & { log?: (line: string) => void }} Options `log` takes what the app prints, and why
 *   an instance has ended. Default: `console.error`
 */

/** @type {Readonly<Limits>} */
export const DEFAULTS = Object.freeze({
  connectionsPerInstance: 32,
  memory: 64,
  callTimeout: 100,
  sendTimeout: 30,
  decisionTimeout: 30,
  shutdownTimeout: 5,
});

export const limitNames = /** @type {(keyof Limits)[]} */ (Object.keys(DEFAULTS));

/** Those that may be nothing at all. */
const MAY_BE_ZERO = ['callTimeout', 'shutdownTimeout'];

/** The longest time that Node's timers take, in seconds. */
const MAX = 2 ** 31 / 1000 - 1;

/**
 * @param {Options} options
 * @returns {Limits}
 * @throws {TypeError | RangeError} on an option that there is none of, or a value that is no limit
 */
export function limitsOf({ log: _, ...options }) {
  for (const [name, value] of Object.entries(options)) {
    if (!(name in DEFAULTS)) {
      throw new TypeError(`there is no option ${name}, but ${limitNames.join(', ')}, log`);
    }
    const least = MAY_BE_ZERO.includes(name) ? 0 : 1;
    if (!Number.isInteger(value) || value < least || value > MAX) {
      throw new RangeError(`the option ${name} is a whole number from ${least}, not ${value}`);
    }
  }
  return { ...DEFAULTS, ...options };
}
