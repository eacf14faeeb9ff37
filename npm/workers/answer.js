// The rules for an app's answer (`wit/app.wit`): the same as those of the protocol in `src/events`.

/**
 * @typedef {import('../contract/interfaces/wasocket-websocket-app.js').Action} Action
 * @typedef {import('../contract/interfaces/wasocket-websocket-app.js').Accept} Accept
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Message} Message
 * @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Response} AppResponse
 */

const MAX_ACTIONS = 1024;
const MAX_ANSWER = 8 * 2 ** 20;
const MAX_STATE = 2048;
const MAX_TOPIC_NAME = 128;
const MAX_TOPICS = 16;
const MAX_MEMBER = 256;
const MAX_REASON = 123;

/** A rule that an answer breaks, or a failure that the app reports of itself. The app is told. */
export class Fault extends Error {}

/** In UTF-8, as on the wire. @param {string} text */
function sizeOf(text) {
  return new TextEncoder().encode(text).length;
}

/** @param {Message} message */
export function messageSize({ val }) {
  return typeof val === 'string' ? sizeOf(val) : val.length;
}

/** @param {Action} action */
function actionSize({ tag, val }) {
  switch (tag) {
    case 'respond':
      return val.body.length;
    case 'accept':
      return 0;
    case 'send':
      return messageSize(val);
    case 'close':
      return sizeOf(val.reason);
    case 'set-state':
      return val.length;
    case 'subscribe':
    case 'unsubscribe':
    case 'list-members':
    case 'fail':
      return sizeOf(val);
    case 'publish':
    case 'publish-to-others':
      return sizeOf(val.channel) + messageSize(val.message);
    case 'subscribe-with':
      return sizeOf(val.topic) + (val.member?.length ?? 0);
  }
}

/**
 * Checks that an answer is not too large to be carried out.
 *
 * @param {Action[]} actions
 * @throws {Fault}
 */
export function checkSize(actions) {
  if (actions.length > MAX_ACTIONS) {
    throw new Fault(`the answer has ${actions.length} actions, ${MAX_ACTIONS} at most`);
  }
  const size = actions.reduce((sum, action) => sum + actionSize(action), 0);
  if (size > MAX_ANSWER) {
    throw new Fault(`the answer has ${size} bytes, ${MAX_ANSWER} at most`);
  }
}

/**
 * The one action that answers a request (404 if there is none), and all others.
 *
 * @param {Action[]} actions
 * @returns {{ accept?: Accept, respond: AppResponse, others: Action[] }}
 * @throws {Fault}
 */
export function split(actions) {
  checkSize(actions);
  const replies = actions.filter(({ tag }) => tag === 'respond' || tag === 'accept');
  const others = actions.filter((action) => !replies.includes(action));
  if (replies.length > 1) {
    throw new Fault('the request is answered twice');
  }
  for (const action of actions) {
    if (action.tag === 'fail') {
      throw new Fault(action.val);
    }
  }
  const [reply] = replies;
  return {
    accept: reply?.tag === 'accept' ? reply.val : undefined,
    respond: reply?.tag === 'respond' ? reply.val : plain(404, 'Not Found'),
    others,
  };
}

/**
 * @param {number} status
 * @param {string} text
 * @param {[string, string][]} [fields]
 * @returns {AppResponse}
 */
export function plain(status, text, fields = []) {
  const bytes = (/** @type {string} */ value) => new TextEncoder().encode(value);
  const all = [['Content-Type', 'text/plain; charset=utf-8'], ...fields];
  return {
    head: { status, fields: all.map(([name = '', value = '']) => [name, bytes(value)]) },
    body: bytes(`${text}\n`),
  };
}

/** @param {Uint8Array} state */
export function checkState(state) {
  if (state.length > MAX_STATE) {
    throw new Fault(`the state has ${state.length} bytes, ${MAX_STATE} at most`);
  }
}

/** @param {string} name */
export function checkTopic(name) {
  const size = sizeOf(name);
  if (size === 0 || size > MAX_TOPIC_NAME) {
    throw new Fault(`a topic's name has 1 to ${MAX_TOPIC_NAME} bytes`);
  }
}

/** Checks that there may be one more. @param {readonly unknown[]} topics */
export function checkRoom(topics) {
  if (topics.length >= MAX_TOPICS) {
    throw new Fault(`a connection has at most ${MAX_TOPICS} topics`);
  }
}

/** @param {Uint8Array | undefined} member what a member says of itself */
export function checkMember(member) {
  if (member && member.length > MAX_MEMBER) {
    throw new Fault(`a member has at most ${MAX_MEMBER} bytes`);
  }
}

/** RFC 6455 §7.4: which codes may be sent. @param {number} code */
export function checkClose(code) {
  const isDefined = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
  if (!isDefined && !(code >= 3000 && code <= 4999)) {
    throw new Fault(`close code ${code} must not be sent`);
  }
}

/**
 * The part of a reason that fits into a Close frame, cut between two characters (RFC 6455 §5.5: a control frame has 125
 * bytes at most, two of which are the code).
 *
 * @param {string} reason
 */
export function cutReason(reason) {
  const { read } = new TextEncoder().encodeInto(reason, new Uint8Array(MAX_REASON));
  return reason.slice(0, read);
}
