// The topics of an object: its WebSockets subscribe, and their attachments say to what. History is in the memory of the
// object, and lasts until it sleeps.

import { Histories } from '../history.js';
import { checkRoom, messageSize } from './answer.js';
import { connectionOf, keep } from './connection.js';

/**
 * @typedef {import('../contract/interfaces/wasocket-websocket-app.js').Event} AppEvent
 * @typedef {import('../contract/interfaces/wasocket-websocket-app.js').Receiver} Receiver
 * @typedef {import('../contract/interfaces/wasocket-websocket-app.js').Subscription} Subscription
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Delivery} Delivery
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Message} Message
 * @typedef {import('./connection.js').Connection} Connection
 */

/**
 * What a connection gets next: something for its peer, or an event for the app.
 *
 * @typedef {{ socket: WebSocket, message: Message, event?: undefined } | { socket: WebSocket, event: AppEvent }} Item
 */

/** The most members that a list names. */
const MAX_LISTED = 1_000;
/** What a publication counts for in addition to its message, in bytes. */
const OVERHEAD = 128;

export class Topics {
  #sockets;
  /** @type {Histories<import('../history.js').Kept>} */
  #histories = new Histories();
  /** @type {Item[]} */
  #queue = [];

  /** @param {() => WebSocket[]} sockets all that are open */
  constructor(sockets) {
    this.#sockets = sockets;
  }

  /** What happens next, in order. */
  next() {
    return this.#queue.shift();
  }

  /** The instance has ended, and with it all connections. */
  clear() {
    this.#queue = [];
  }

  /**
   * Subscribes, or replaces what an earlier subscription to the same topic said.
   *
   * @param {WebSocket} socket
   * @param {Connection} connection
   * @param {Subscription} subscription
   * @param {boolean} confirm whether the app is told
   * @throws {import('./answer.js').Fault}
   */
  subscribe(socket, connection, { topic, start, keep: wanted, member, watchMembers, receiver }, confirm) {
    const before = connection.topics.find((own) => own.topic === topic);
    if (before === undefined) {
      checkRoom(connection.topics);
    }
    const others = connection.topics.filter((own) => own !== before);
    connection.topics = [...others, { topic, member, watchMembers, receiver }];
    keep(socket, connection);
    const allowed = Histories.allowed(wanted);
    if (allowed) {
      this.#histories.keep(topic, allowed);
    }
    const { position, recovered, missed } = this.#histories.read(topic, start, Date.now());
    if (confirm) {
      this.#tell(socket, { tag: 'subscribed', val: { topic, position, recovered } });
    }
    missed.forEach(({ delivery }) => this.#give(socket, delivery, receiver));
    this.#announce(topic, before?.member, member);
  }

  /**
   * @param {WebSocket} socket
   * @param {Connection} connection
   * @param {string} topic
   */
  unsubscribe(socket, connection, topic) {
    const left = connection.topics.find((own) => own.topic === topic);
    if (left) {
      connection.topics = connection.topics.filter((own) => own !== left);
      keep(socket, connection);
      this.#announce(topic, left.member, undefined);
    }
  }

  /**
   * The others are told that a connection that has ended is a member no more.
   *
   * @param {Connection} connection as it was before the end
   */
  left({ topics }) {
    topics.forEach(({ topic, member }) => this.#announce(topic, member, undefined));
  }

  /**
   * @param {string} topic
   * @param {Message} message
   * @param {WebSocket} [excluded]
   */
  publish(topic, message, excluded) {
    /** @type {Delivery} */
    const delivery = { topic, message, position: undefined };
    this.#histories.add({ delivery, size: OVERHEAD + messageSize(message) }, Date.now());
    for (const socket of this.#sockets()) {
      const own = subscriptionOf(socket, topic);
      if (own && socket !== excluded) {
        this.#give(socket, delivery, own.receiver);
      }
    }
  }

  /**
   * @param {WebSocket} socket
   * @param {string} topic
   */
  listMembers(socket, topic) {
    const members = this.#sockets().flatMap((other) => subscriptionOf(other, topic)?.member ?? []);
    const val = { topic, count: BigInt(members.length), members: members.slice(0, MAX_LISTED) };
    this.#tell(socket, { tag: 'members', val });
  }

  /**
   * @param {WebSocket} socket
   * @param {Delivery} delivery
   * @param {Receiver} receiver
   */
  #give(socket, delivery, receiver) {
    if (receiver === 'app') {
      this.#tell(socket, { tag: 'published', val: delivery });
    } else {
      const message = receiver === 'peer' ? delivery.message : positioned(delivery);
      this.#queue.push({ socket, message });
    }
  }

  /**
   * @param {WebSocket} socket
   * @param {AppEvent} event
   */
  #tell(socket, event) {
    this.#queue.push({ socket, event });
  }

  /**
   * Tells those who want to know that a member has come, has changed or has left.
   *
   * @param {string} topic
   * @param {Uint8Array | undefined} before
   * @param {Uint8Array | undefined} after
   */
  #announce(topic, before, after) {
    const member = after ?? before;
    if (!member || (before && after && String(before) === String(after))) {
      return;
    }
    for (const socket of this.#sockets()) {
      if (subscriptionOf(socket, topic)?.watchMembers) {
        this.#tell(socket, { tag: after ? 'joined' : 'left', val: { topic, member } });
      }
    }
  }
}

/**
 * @param {WebSocket} socket
 * @param {string} topic
 */
function subscriptionOf(socket, topic) {
  return connectionOf(socket).topics.find((own) => own.topic === topic);
}

/**
 * The position, or nothing if there is none, a line feed, and the message.
 *
 * @param {Delivery} delivery
 * @returns {Message}
 */
function positioned({ position, message }) {
  const front = `${position ?? ''}\n`;
  if (message.tag === 'text') {
    return { tag: 'text', val: front + message.val };
  }
  const bytes = new TextEncoder().encode(front);
  const val = new Uint8Array(bytes.length + message.val.length);
  val.set(bytes);
  val.set(message.val, bytes.length);
  return { tag: 'binary', val };
}
