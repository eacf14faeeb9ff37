// Gives a publication to its subscribers: one call for all of an instance, and one buffer for all that are sent the
// same.

import { now } from './clock.js';
import { Dead } from './pool.js';

/**
 * @typedef {import('./pool.js').Instance} Instance
 * @typedef {import('./session.js').Session} Session
 * @typedef {import('./topics.js').Publication} Publication
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js').Deliveries} Deliveries
 */

/**
 * Delivers it now to all that take it now. With the others it waits.
 *
 * @param {Publication} publication
 * @param {Session[]} subscribers
 */
export function deliver(publication, subscribers) {
  /** @type {Map<Instance, Session[]>} */
  const groups = new Map();
  for (const session of subscribers) {
    if (session.takesNow) {
      const group = groups.get(session.instance) ?? [];
      group.push(session);
      groups.set(session.instance, group);
    } else {
      session.keepWaiting(publication);
    }
  }
  for (const [instance, sessions] of groups) {
    deliverTo(instance, publication, sessions);
  }
}

/**
 * Delivers it to connections of one instance, all of which take it now.
 *
 * @param {Instance} instance
 * @param {Publication} publication
 * @param {Session[]} all
 */
export function deliverTo(instance, publication, all) {
  // One may have ended when the publication reached the instance before.
  const sessions = all.filter((session) => session.takesNow);
  if (sessions.length === 0) {
    return;
  }
  const known = Uint32Array.from(publication.forms.keys());
  const connections = sessions.map(({ connection }) => connection);
  let deliveries;
  try {
    deliveries = instance.call((handler) => {
      const deliveries = handler.deliver(now(), publication.delivery, known, connections);
      check(deliveries, publication);
      return deliveries;
    });
  } catch (error) {
    if (error instanceof Dead) {
      return; // Its sessions know.
    }
    throw error;
  }
  instance.wake(deliveries.wakeOthers);
  carryOut(deliveries, publication, sessions);
}

/**
 * Adds the new forms to the known ones. What no host can carry out costs the instance.
 *
 * @param {Deliveries} deliveries
 * @param {Publication} publication
 */
function check({ forms, shared, exceptions }, publication) {
  forms.forEach(({ number, bytes }) => publication.forms.set(number, bytes));
  const numbers = exceptions.flatMap(({ effect }) => (effect.tag === 'form' ? [effect.val] : []));
  for (const number of [...numbers, ...(shared === undefined ? [] : [shared])]) {
    if (!publication.forms.has(number)) {
      throw new Error(`a publication is to be sent as form ${number}, which does not exist`);
    }
  }
}

/**
 * @param {Deliveries} deliveries
 * @param {Publication} publication
 * @param {Session[]} sessions
 */
function carryOut({ shared, exceptions, output }, { forms }, sessions) {
  const effects = new Map(exceptions.map(({ index, effect }) => [index, effect]));
  let offset = 0;
  sessions.forEach((session, index) => {
    const effect = effects.get(index);
    if (effect?.tag === 'outcome') {
      const { outputLength, ...outcome } = effect.val;
      session.onOutcome({ ...outcome, output: output.subarray(offset, offset + outputLength) });
      offset += outputLength;
    } else {
      const number = effect ? effect.val : shared;
      session.onForm(number === undefined ? undefined : forms.get(number));
    }
  });
}
