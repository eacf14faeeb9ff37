// What happened on a connection's topics while its output was unsent.

/**
 * @typedef {import('./topics.js').Publication} Publication
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').TopicEvent} TopicEvent
 * @typedef {Publication | TopicEvent} Item
 */

/** The most bytes that wait for a peer. */
const MAX = 2 ** 20;
/** What an event counts for: little more than a member has to say. */
const EVENT_SIZE = 512;

/** A queue. */
export class Waiting {
  /** @type {Item[]} */
  #items = [];
  #size = 0;

  get isEmpty() {
    return this.#items.length === 0;
  }

  /** Whether more waits than may. A single item always may, or it could never be delivered. */
  get isTooLong() {
    return this.#size > MAX && this.#items.length > 1;
  }

  /** @param {Item} item */
  push(item) {
    this.#items.push(item);
    this.#size += sizeOf(item);
  }

  shift() {
    const item = this.#items.shift();
    this.#size -= item ? sizeOf(item) : 0;
    return item;
  }

  /**
   * Drops the publications of a topic.
   *
   * @param {string} topic
   */
  forget(topic) {
    this.#items = this.#items.filter((item) => !('delivery' in item) || item.delivery.topic !== topic);
    this.#size = this.#items.reduce((sum, item) => sum + sizeOf(item), 0);
  }

  clear() {
    this.#items = [];
    this.#size = 0;
  }
}

/** @param {Item} item */
function sizeOf(item) {
  return 'delivery' in item ? item.size : EVENT_SIZE;
}
