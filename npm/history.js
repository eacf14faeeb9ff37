// What topics keep of their publications, within bounds: for subscribers that come later, or come back.

/**
 * @typedef {import('./contract/interfaces/wasocket-websocket-types.js').Delivery} Delivery
 * @typedef {import('./contract/interfaces/wasocket-websocket-types.js').History} Keep
 * @typedef {import('./contract/interfaces/wasocket-websocket-types.js').Start} Start
 */

/**
 * Something published.
 *
 * @typedef {object} Kept
 * @property {Delivery} delivery
 * @property {number} size what it counts for in memory, in bytes
 */

/** The same bounds as those of `wasocket serve`. If there is too much, the history that was used least recently goes. */
const MAX_TOPICS = 10_000;
const MAX_COUNT = 1_000;
const MAX_SECONDS = 24 * 60 * 60;
const MAX_BYTES = 64 * 2 ** 20;

/**
 * @template Publication
 * @typedef {object} History
 * @property {Keep} keep
 * @property {string} epoch a new one begins with each history
 * @property {number} offset of the last publication
 * @property {{ publication: Publication, at: number }[]} entries the oldest first
 */

/**
 * The histories of all topics that have one.
 *
 * @template {Kept} Publication
 */
export class Histories {
  /** By last use, the longest ago first. @type {Map<string, History<Publication>>} */
  #of = new Map();
  #bytes = 0;
  /** Epochs must not repeat those of an earlier process. */
  #epoch = crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n;

  /**
   * What is granted of a wish; undefined if that is nothing.
   *
   * @param {Keep | undefined} keep
   * @returns {Keep | undefined}
   */
  static allowed(keep) {
    const count = Math.min(keep?.count ?? 0, MAX_COUNT);
    const seconds = Math.min(keep?.seconds ?? 0, MAX_SECONDS);
    return count > 0 && seconds > 0 ? { count, seconds } : undefined;
  }

  /**
   * Gives a topic a history of this length, or a longer one if it has that.
   *
   * @param {string} topic
   * @param {Keep} keep what is allowed
   */
  keep(topic, keep) {
    const history = this.#of.get(topic);
    if (history) {
      history.keep = longer(history.keep, keep);
      return;
    }
    if (this.#of.size >= MAX_TOPICS) {
      this.#removeOldest();
    }
    this.#epoch = BigInt.asUintN(64, this.#epoch + 1n);
    const epoch = this.#epoch.toString(16).padStart(16, '0');
    this.#of.set(topic, { keep, epoch, offset: 0, entries: [] });
  }

  /**
   * Gives a publication its position and keeps it, if the topic has history.
   *
   * @param {Publication} publication
   * @param {number} now in milliseconds
   */
  add(publication, now) {
    const history = this.#use(publication.delivery.topic, now);
    if (!history) {
      return;
    }
    history.offset += 1;
    publication.delivery.position = positionOf(history);
    history.entries.push({ publication, at: now });
    this.#bytes += publication.size;
    this.#expire(history, now);
    while (this.#bytes > MAX_BYTES) {
      this.#makeRoom(history);
    }
  }

  /**
   * What a subscriber that begins there has missed.
   *
   * @param {string} topic
   * @param {Start} start
   * @param {number} now in milliseconds
   * @returns {{ position: string | undefined, recovered: boolean, missed: Publication[] }}
   */
  read(topic, start, now) {
    const history = this.#use(topic, now);
    if (!history) {
      return { position: undefined, recovered: start.tag !== 'after', missed: [] };
    }
    const count = missedBy(history, start);
    const entries = count ? history.entries.slice(-count) : [];
    const missed = entries.map(({ publication }) => publication);
    return { position: positionOf(history), recovered: count !== undefined, missed };
  }

  /**
   * @param {string} topic
   * @param {number} now
   */
  #use(topic, now) {
    const history = this.#of.get(topic);
    if (history) {
      this.#of.delete(topic);
      this.#of.set(topic, history);
      this.#expire(history, now);
    }
    return history;
  }

  /**
   * @param {History<Publication>} history
   * @param {number} now
   */
  #expire({ entries, keep }, now) {
    const isOld = (/** @type {{ at: number } | undefined} */ entry) => entry && now - entry.at >= keep.seconds * 1000;
    while (entries.length > keep.count || isOld(entries[0])) {
      this.#bytes -= entries.shift()?.publication.size ?? 0;
    }
  }

  /** @param {History<Publication>} recent the one that stays */
  #makeRoom(recent) {
    if (this.#of.size > 1) {
      this.#removeOldest();
    } else {
      this.#bytes -= recent.entries.shift()?.publication.size ?? 0;
    }
  }

  #removeOldest() {
    for (const [topic, { entries }] of this.#of) {
      this.#of.delete(topic);
      this.#bytes -= entries.reduce((sum, { publication }) => sum + publication.size, 0);
      return;
    }
  }
}

/**
 * @param {Keep} one
 * @param {Keep} other
 * @returns {Keep}
 */
export function longer(one, other) {
  return { count: Math.max(one.count, other.count), seconds: Math.max(one.seconds, other.seconds) };
}

/** @param {History<any>} history */
function positionOf({ epoch, offset }) {
  return `${epoch}-${offset}`;
}

/**
 * How many of the latest entries a subscriber has missed; undefined if that cannot be said.
 *
 * @param {History<any>} history
 * @param {Start} start
 */
function missedBy({ epoch, offset, entries }, start) {
  if (start.tag === 'now') {
    return 0;
  }
  if (start.tag === 'last') {
    return Math.min(start.val, entries.length);
  }
  const [, ofEpoch, ofOffset] = /^([\da-f]{16})-(\d+)$/i.exec(start.val) ?? [];
  const count = offset - Number(ofOffset);
  return ofEpoch?.toLowerCase() === epoch && count >= 0 && count <= entries.length ? count : undefined;
}
