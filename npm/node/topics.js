// Topics: who subscribes to what, across all instances of an app in this process. Everything that connections want of
// topics is carried out in one order, soon after the calls that asked for it.

import { deliver } from './deliver.js';
import { Histories, longer } from '../history.js';

/**
 * @typedef {import('./session.js').Session} Session
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Delivery} Delivery
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').History} Keep
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Publication} Wanted
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Subscription} Subscription
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').TopicAction} TopicAction
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').TopicEvent} TopicEvent
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').TopicOperation} TopicOperation
 */

/**
 * Something published, on its way.
 *
 * @typedef {object} Publication
 * @property {Delivery} delivery
 * @property {number} size what it counts for in memory, in bytes
 * @property {Map<number, Uint8Array>} forms the bytes that several connections are sent
 */

/**
 * @typedef {object} Topic
 * @property {Map<Session, Subscription>} subscribers
 * @property {Keep | undefined} keep the history that they want: it comes back if it had to go
 */

/** The same bounds as those of `wasocket serve`. */
const MAX_TOPICS = 100_000;
const MAX_LISTED = 1_000;
/** The most bytes that wait to be delivered: what is published then is refused. */
const MAX_QUEUED = 16 * 2 ** 20;
/** What everything counts for in addition to its bytes. */
const OVERHEAD = 128;
/** After this time, in milliseconds, sockets have their say again. */
const TURN_MS = 10;

export class Topics {
  /** @type {Map<string, Topic>} */
  #topics = new Map();
  /** @type {Histories<Publication>} */
  #histories = new Histories();
  #onBug;
  /** @type {(() => void)[]} */
  #queue = [];
  #queued = 0;
  #isScheduled = false;

  /** @param {(error: unknown) => void} onBug called with an exception that nothing expects */
  constructor(onBug) {
    this.#onBug = onBug;
  }

  /**
   * Carries out what a connection wants of topics.
   *
   * @param {Session} session
   * @param {TopicAction[]} actions
   */
  act(session, actions) {
    for (const { tag, val } of actions) {
      switch (tag) {
        case 'subscribe':
          this.#soon(() => this.#subscribe(session, val));
          break;
        case 'unsubscribe':
          this.#soon(() => this.#unsubscribe(session, val));
          break;
        case 'publish':
          this.publish([val], session);
          break;
        case 'list-members':
          this.#soon(() => this.#listMembers(session, val));
          break;
      }
    }
  }

  /**
   * @param {Wanted[]} publications
   * @param {Session} [session] the publisher
   */
  publish(publications, session) {
    for (const { topic, message, toOthers } of publications) {
      const size = OVERHEAD + Buffer.byteLength(message.val);
      if (this.#queued + size > MAX_QUEUED) {
        this.#refuse(session, topic, 'publish', 'too many publications wait to be delivered');
        continue;
      }
      this.#queued += size;
      /** @type {Publication} */
      const publication = { delivery: { topic, message, position: undefined }, size, forms: new Map() };
      this.#soon(() => {
        this.#queued -= size;
        this.#publish(publication, toOthers ? session : undefined);
      });
    }
  }

  /**
   * A connection has ended, and with it its subscriptions.
   *
   * @param {Session} session
   * @param {Iterable<string>} topics that it has subscribed to
   */
  leave(session, topics) {
    for (const topic of topics) {
      this.#soon(() => this.#unsubscribe(session, topic));
    }
  }

  /** @param {() => void} act */
  #soon(act) {
    this.#queue.push(act);
    this.#schedule();
  }

  #schedule() {
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => this.#run());
    }
  }

  #run() {
    this.#isScheduled = false;
    const until = performance.now() + TURN_MS;
    let done = 0;
    for (const act of this.#queue) {
      done += 1;
      try {
        act();
      } catch (error) {
        this.#onBug(error);
      }
      if (performance.now() > until) {
        break;
      }
    }
    this.#queue.splice(0, done);
    if (this.#queue.length > 0) {
      this.#schedule();
    }
  }

  /**
   * @param {Session} session
   * @param {Subscription} subscription
   */
  #subscribe(session, subscription) {
    if (!session.isOpen) {
      return;
    }
    const { topic: name, start, keep, member, confirm } = subscription;
    const topic = this.#topics.get(name) ?? this.#add(name);
    if (!topic) {
      this.#refuse(session, name, 'subscribe', 'too many topics have subscribers');
      return;
    }
    const before = topic.subscribers.get(session)?.member;
    topic.subscribers.set(session, subscription);
    session.topics.add(name);
    this.#keep(name, topic, keep);
    const { position, recovered, missed } = this.#histories.read(name, start, performance.now());
    if (confirm) {
      session.tell({ tag: 'subscribed', val: { topic: name, position, recovered } });
    }
    missed.forEach((publication) => session.give(publication));
    announce(name, topic, before, member);
  }

  /** @param {string} name */
  #add(name) {
    if (this.#topics.size >= MAX_TOPICS) {
      return undefined;
    }
    /** @type {Topic} */
    const topic = { subscribers: new Map(), keep: undefined };
    this.#topics.set(name, topic);
    return topic;
  }

  /**
   * @param {string} name
   * @param {Topic} topic
   * @param {Keep | undefined} wanted
   */
  #keep(name, topic, wanted) {
    const keep = Histories.allowed(wanted);
    if (keep) {
      topic.keep = longer(topic.keep ?? keep, keep);
    }
    if (topic.keep) {
      this.#histories.keep(name, topic.keep);
    }
  }

  /**
   * @param {Session} session
   * @param {string} name
   */
  #unsubscribe(session, name) {
    const topic = this.#topics.get(name);
    const left = topic?.subscribers.get(session);
    if (!topic || !left) {
      return;
    }
    topic.subscribers.delete(session);
    session.topics.delete(name);
    session.forget(name);
    announce(name, topic, left.member, undefined);
    if (topic.subscribers.size === 0) {
      this.#topics.delete(name);
    }
  }

  /**
   * @param {Publication} publication
   * @param {Session | undefined} excluded
   */
  #publish(publication, excluded) {
    const name = publication.delivery.topic;
    const topic = this.#topics.get(name);
    if (topic) {
      this.#keep(name, topic, undefined);
    }
    this.#histories.add(publication, performance.now());
    const subscribers = [...(topic?.subscribers.keys() ?? [])];
    deliver(publication, subscribers.filter((session) => session !== excluded));
  }

  /**
   * @param {Session} session
   * @param {string} name
   */
  #listMembers(session, name) {
    const subscriptions = [...(this.#topics.get(name)?.subscribers.values() ?? [])];
    const members = subscriptions.flatMap(({ member }) => (member ? [member] : []));
    const val = { topic: name, count: BigInt(members.length), members: members.slice(0, MAX_LISTED) };
    session.tell({ tag: 'members', val });
  }

  /**
   * @param {Session | undefined} session
   * @param {string} topic
   * @param {TopicOperation} operation
   * @param {string} reason
   */
  #refuse(session, topic, operation, reason) {
    this.#soon(() => session?.tell({ tag: 'refused', val: { topic, operation, reason } }));
  }
}

/**
 * Tells those who want to know that a member has come, has changed or has left.
 *
 * @param {string} name
 * @param {Topic} topic
 * @param {Uint8Array | undefined} before
 * @param {Uint8Array | undefined} after
 */
function announce(name, { subscribers }, before, after) {
  const member = after ?? before;
  if (!member || (before && after && Buffer.compare(before, after) === 0)) {
    return;
  }
  for (const [session, { watchMembers }] of subscribers) {
    if (watchMembers) {
      session.tell({ tag: after ? 'joined' : 'left', val: { topic: name, member } });
    }
  }
}
