// What the log says of foreign text, and how much of it says that clients were refused.

/** @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Request} Request */

/** The most characters of a text from outside that are logged. */
const MAX_TEXT = 1024;

/** The most lines about refused clients in a time, so that a flood of them does not fill the disk. */
const MAX_REFUSALS = 10;
const REFUSALS_TIME_MS = 10_000;

/**
 * Foreign text, for a log: a terminal must not take any of it for a command.
 *
 * @param {string} text
 */
export function quoted(text) {
  const escaped = (/** @type {string} */ char) => `\\u{${char.codePointAt(0)?.toString(16)}}`;
  return JSON.stringify(text.slice(0, MAX_TEXT)).replace(/[\p{Cc}\p{Cf}]/gu, escaped);
}

/** The path of a request, without its query, where pages put tokens. @param {Request} request */
export function pathOf({ target }) {
  return target.split('?', 1)[0] ?? '';
}

/** Logs why clients are refused. What is beyond the limit is counted, and the number is in the next line. */
export class Refusals {
  #log;
  #end = 0;
  #lines = 0;
  #suppressed = 0;

  /** @param {(line: string) => void} log */
  constructor(log) {
    this.#log = log;
  }

  /**
   * @param {Request} request
   * @param {number} status
   * @param {string} reason
   */
  add(request, status, reason) {
    const now = performance.now();
    if (now >= this.#end) {
      this.#end = now + REFUSALS_TIME_MS;
      this.#lines = 0;
    }
    if (this.#lines === MAX_REFUSALS) {
      this.#suppressed += 1;
      return;
    }
    this.#lines += 1;
    const more = this.#suppressed > 0 ? ` (${this.#suppressed} refusals not logged)` : '';
    this.#suppressed = 0;
    this.#log(`${request.remote} ${quoted(pathOf(request))}: refused with ${status}: ${quoted(reason)}${more}`);
  }
}
