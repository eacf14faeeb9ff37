// Checks an answer against the rules of the interface `app` (`wit/app.wit`) and carries it out in order, as
// `src/events/judge.rs` of the protocol does, with which it shares the answers of `tests/vectors/actions.json`.

import { Fault, checkClose, checkMember, checkSize, checkState, checkTopic, cutReason } from './answer.js';

/**
 * @typedef {import('../contract/interfaces/wasocket-websocket-app.js').Action} Action
 * @typedef {import('../contract/interfaces/wasocket-websocket-app.js').Subscription} Subscription
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Message} Message
 */

/**
 * A WebSocket that actions are carried out on. Each has been checked against the rules.
 *
 * @typedef {object} Target
 * @property {(message: Message) => void} send has no effect if the connection is closing or closed
 * @property {(code: number, reason: string) => void} close has no effect if the connection is closing or closed
 * @property {(state: Uint8Array) => void} setState
 * @property {(topic: string) => void} subscribe checks that there are not too many topics
 * @property {(subscription: Subscription) => void} subscribeWith checks that there are not too many topics
 * @property {(topic: string) => void} unsubscribe
 * @property {(topic: string, message: Message, toOthers: boolean) => void} publish
 * @property {(topic: string) => void} listMembers
 */

/**
 * Carries out an answer up to the first action that breaks a rule; nothing of an answer that is too large.
 *
 * @param {Target} target
 * @param {Action[]} actions
 * @throws {Fault}
 */
export function carryOut(target, actions) {
  checkSize(actions);
  for (const action of actions) {
    act(target, action);
  }
}

/**
 * @param {Target} target
 * @param {Action} action
 */
function act(target, { tag, val }) {
  switch (tag) {
    case 'respond':
      throw new Fault('respond answers a request only, or open');
    case 'accept':
      throw new Fault('accept answers open only');
    case 'send':
      return target.send(val);
    case 'close':
      checkClose(val.code);
      return target.close(val.code, cutReason(val.reason));
    case 'set-state':
      checkState(val);
      return target.setState(val);
    case 'subscribe':
      checkTopic(val);
      return target.subscribe(val);
    case 'subscribe-with':
      checkTopic(val.topic);
      checkMember(val.member);
      return target.subscribeWith(val);
    case 'unsubscribe':
      return target.unsubscribe(val);
    case 'publish':
    case 'publish-to-others':
      checkTopic(val.channel);
      return target.publish(val.channel, val.message, tag === 'publish-to-others');
    case 'list-members':
      checkTopic(val);
      return target.listMembers(val);
    case 'fail':
      throw new Fault(val);
  }
}

/**
 * Carries out what is allowed without a WebSocket, which is publishing, up to the first action that is not.
 *
 * @param {Action[]} actions
 * @param {(topic: string, message: Message) => void} publish
 * @throws {Fault}
 */
export function publications(actions, publish) {
  for (const { tag, val } of actions) {
    if (tag !== 'publish' && tag !== 'publish-to-others') {
      throw new Fault('there is no WebSocket to do this to');
    }
    checkTopic(val.channel);
    publish(val.channel, val.message);
  }
}
