// Apps as Cloudflare Durable Objects, which sleep while nothing happens: the object is then discarded, and its
// WebSockets stay. The state of each is in its attachment, and nothing of the app is lost, since an app keeps
// nothing (`wit/app.wit`).

import { DurableObject } from 'cloudflare:workers';
import { wasi } from './wasi.js';
import { Fault, checkSize, messageSize, plain, split } from './workers/answer.js';
import { connectionOf, end, keep } from './workers/connection.js';
import { refusal, subprotocol, wantsWebSocket } from './workers/handshake.js';
import { carryOut, publications } from './workers/judge.js';
import { Topics } from './workers/topics.js';

/**
 * @typedef {import('./contract/interfaces/wasocket-websocket-app.js')} App
 * @typedef {import('./contract/interfaces/wasocket-websocket-app.js').Accept} Accept
 * @typedef {import('./contract/interfaces/wasocket-websocket-app.js').Action} Action
 * @typedef {import('./contract/interfaces/wasocket-websocket-app.js').Event} AppEvent
 * @typedef {import('./contract/interfaces/wasocket-websocket-types.js').Message} Message
 * @typedef {import('./contract/interfaces/wasocket-websocket-types.js').Request} AppRequest
 * @typedef {import('./contract/interfaces/wasocket-websocket-types.js').Response} AppResponse
 * @typedef {import('./workers/connection.js').Connection} Connection
 */

/**
 * A component as `wasocket-transpile` writes it.
 *
 * @typedef {object} Component
 * @property {(module: (name: string) => WebAssembly.Module, imports: any) => any} instantiate
 * @property {Record<string, WebAssembly.Module>} modules
 */

const APP = 'wasocket:websocket/app@0.1.0';
/** The longest message to receive, in bytes: unless the app says otherwise, and at most. */
const MESSAGE_SIZE = 2 ** 20;
const MAX_MESSAGE_SIZE = 4 * 2 ** 20;
/** The most bytes that wait for a peer that cannot keep up with publications. */
const MAX_WAITING = 2 ** 20;
/** How much of what happens on topics is passed on at once; the rest has to wait for other events. */
const MAX_AT_ONCE = 1_000;

// Close codes (RFC 6455 §7.4.1, and 1013 of the IANA registry).
const NO_STATUS = 1005;
const ABNORMAL = 1006;
const TOO_BIG = 1009;
const INTERNAL_ERROR = 1011;
const TRY_AGAIN_LATER = 1013;

const FAILED = plain(500, 'Internal Server Error');

/** The app has trapped; why is in the log. */
class Trapped extends Error {}

/**
 * The class of an object that serves an app: plain HTTP and WebSockets.
 *
 * @param {Component} component the export of `component.js` in a folder made by `wasocket-transpile`
 * @returns {new (context: DurableObjectState, env: any) => DurableObject}
 */
export function durableObject(component) {
  return class extends DurableObject {
    #site = new Site(this.ctx, component);

    /** @param {Request} request */
    fetch(request) {
      return this.#site.fetch(request);
    }

    /**
     * @param {WebSocket} socket
     * @param {string | ArrayBuffer} message
     */
    webSocketMessage(socket, message) {
      this.#site.message(socket, message);
    }

    /**
     * @param {WebSocket} socket
     * @param {number} code
     * @param {string} reason
     */
    webSocketClose(socket, code, reason) {
      this.#site.closed(socket, code, reason);
    }

    /** @param {WebSocket} socket */
    webSocketError(socket) {
      this.#site.closed(socket, ABNORMAL, '');
    }
  };
}

/** An app and the WebSockets of one object. */
class Site {
  #context;
  #component;
  /** Made when something happens; gone when it has trapped, or the object has slept. @type {App | undefined} */
  #app;
  #topics;

  /**
   * @param {DurableObjectState} context
   * @param {Component} component
   */
  constructor(context, component) {
    this.#context = context;
    this.#component = component;
    this.#topics = new Topics(() => context.getWebSockets());
    const { length } = context.getWebSockets();
    if (length > 0) {
      console.error(`the object is awake again, with ${length} connections`);
    }
  }

  /**
   * @param {Request} request
   * @returns {Response}
   */
  fetch(request) {
    const id = crypto.randomUUID();
    try {
      const response = wantsWebSocket(request) ? this.#open(id, request) : this.#request(id, request);
      this.#settle();
      return response;
    } catch (error) {
      if (error instanceof Fault) {
        this.#tell(id, error);
      } else if (error instanceof TypeError) {
        console.error(`cannot send the app's answer to ${request.method} ${new URL(request.url).pathname}, sending 500: ${error.message}`);
      } else if (!(error instanceof Trapped)) {
        throw error;
      }
      this.#settle();
      return respond(FAILED);
    }
  }

  /**
   * @param {string} id
   * @param {Request} request
   */
  #request(id, request) {
    const event = /** @type {AppEvent} */ ({ tag: 'request', val: toAppRequest(request) });
    const { accept, respond: response, others } = split(this.#call(id, new Uint8Array(), event));
    if (accept) {
      throw new Fault('accept answers open only');
    }
    this.#publishAll(others);
    return respond(response);
  }

  /**
   * @param {string} id
   * @param {Request} request
   */
  #open(id, request) {
    const event = /** @type {AppEvent} */ ({ tag: 'open', val: toAppRequest(request) });
    const { accept, respond: response, others } = split(this.#call(id, new Uint8Array(), event));
    if (!accept) {
      this.#publishAll(others);
      return respond(response);
    }
    const refused = refusal(request, accept);
    if (refused) {
      const { response, reason } = refused;
      console.error(`${new URL(request.url).pathname}: refused with ${response.head.status}: ${reason}`);
      return respond(response);
    }
    return this.#accept(id, request, accept, others);
  }

  /**
   * @param {string} id
   * @param {Request} request
   * @param {Accept} accept
   * @param {Action[]} actions
   */
  #accept(id, request, accept, actions) {
    const headers = toHeaders(accept.fields);
    const selected = subprotocol(request, accept.subprotocol);
    if (selected !== undefined) {
      headers.set('Sec-WebSocket-Protocol', selected);
    }
    const { 0: client, 1: server } = new WebSocketPair();
    const response = new Response(null, { status: 101, webSocket: client, headers });
    this.#context.acceptWebSocket(server);
    const size = accept.settings?.maxMessageSize ?? MESSAGE_SIZE;
    /** @type {Connection} */
    const connection = {
      id,
      state: new Uint8Array(),
      topics: [],
      maxMessageSize: Math.min(size, MAX_MESSAGE_SIZE),
      hasEnded: false,
    };
    keep(server, connection);
    this.#unlessFault(server, connection, () => this.#carryOut(server, connection, actions));
    return response;
  }

  /**
   * @param {WebSocket} socket
   * @param {string | ArrayBuffer} data
   */
  message(socket, data) {
    const message = /** @type {Message} */ (
      typeof data === 'string' ? { tag: 'text', val: data } : { tag: 'binary', val: new Uint8Array(data) }
    );
    const connection = connectionOf(socket);
    if (!connection.hasEnded && messageSize(message) > connection.maxMessageSize) {
      close(socket, TOO_BIG, '');
      this.#end(socket, connection, TOO_BIG, 'the message is too long');
    } else {
      this.#give(socket, connection, { tag: 'message', val: message });
    }
    this.#settle();
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} reason
   */
  closed(socket, code, reason) {
    this.#end(socket, connectionOf(socket), code, reason);
    answerClose(socket, code);
    this.#settle();
  }

  /** Passes on what has happened on topics, in order; answers may cause more. */
  #settle() {
    for (let done = 0; done < MAX_AT_ONCE; done += 1) {
      const item = this.#topics.next();
      if (item === undefined) {
        return;
      }
      if (item.event === undefined) {
        sendPublished(item.socket, item.message);
      } else {
        this.#give(item.socket, connectionOf(item.socket), item.event);
      }
    }
    setTimeout(() => this.#settle(), 0);
  }

  /**
   * Gives the app an event, and carries out its answer.
   *
   * @param {WebSocket} socket
   * @param {Connection} connection
   * @param {AppEvent} event
   */
  #give(socket, connection, event) {
    if (!connection.hasEnded) {
      this.#unlessFault(socket, connection, () => this.#ask(socket, connection, event));
    }
  }

  /**
   * Carries out actions. A fault among them ends the connection.
   *
   * @param {WebSocket} socket
   * @param {Connection} connection
   * @param {() => void} carryOut
   */
  #unlessFault(socket, connection, carryOut) {
    const fault = faultOf(carryOut);
    if (fault) {
      close(socket, INTERNAL_ERROR, '');
      this.#end(socket, connection, INTERNAL_ERROR, fault.message);
    }
  }

  /**
   * @param {WebSocket} socket
   * @param {Connection} connection
   * @param {AppEvent} event
   * @throws {Fault | Trapped}
   */
  #ask(socket, connection, event) {
    const actions = this.#call(connection.id, connection.state, event);
    this.#carryOut(socket, connection, actions);
  }

  /**
   * @param {WebSocket} socket
   * @param {Connection} connection
   * @param {Action[]} actions
   * @throws {Fault}
   */
  #carryOut(socket, connection, actions) {
    carryOut(this.#target(socket, connection), actions);
  }

  /**
   * @param {WebSocket} socket
   * @param {Connection} connection
   * @returns {import('./workers/judge.js').Target}
   */
  #target(socket, connection) {
    return {
      send: (message) => send(socket, message),
      close: (code, reason) => close(socket, code, reason),
      setState: (state) => {
        connection.state = state;
        keep(socket, connection);
      },
      subscribe: (topic) => {
        if (!connection.topics.some((own) => own.topic === topic)) {
          this.#topics.subscribe(socket, connection, subscriptionTo(topic), false);
        }
      },
      subscribeWith: (subscription) => this.#topics.subscribe(socket, connection, subscription, true),
      unsubscribe: (topic) => this.#topics.unsubscribe(socket, connection, topic),
      publish: (topic, message, toOthers) => this.#topics.publish(topic, message, toOthers ? socket : undefined),
      listMembers: (topic) => this.#topics.listMembers(socket, topic),
    };
  }

  /**
   * Carries out what is allowed without a WebSocket.
   *
   * @param {Action[]} actions
   */
  #publishAll(actions) {
    publications(actions, (topic, message) => this.#topics.publish(topic, message));
  }

  /**
   * Tells the app that the connection has ended.
   *
   * @param {WebSocket} socket
   * @param {Connection} connection
   * @param {number} code
   * @param {string} reason
   */
  #end(socket, connection, code, reason) {
    if (connection.hasEnded) {
      return;
    }
    connection.hasEnded = true;
    keep(socket, connection);
    // It is the last event: a fault in the answer is ignored.
    faultOf(() => this.#ask(socket, connection, { tag: 'closed', val: { code, reason } }));
    end(socket, connection);
    this.#topics.left(connection);
  }

  /**
   * Tells the app what it has done wrong, before there is a WebSocket.
   *
   * @param {string} id
   * @param {Fault} fault
   */
  #tell(id, fault) {
    const val = { code: INTERNAL_ERROR, reason: fault.message };
    // It has been told once. A fault in this answer is ignored.
    faultOf(() => {
      const actions = this.#call(id, new Uint8Array(), { tag: 'closed', val });
      checkSize(actions);
      this.#publishAll(actions);
    });
  }

  /**
   * Calls the app. A trap ends the instance with all its connections.
   *
   * @param {string} id
   * @param {Uint8Array} state
   * @param {AppEvent} event
   * @returns {Action[]}
   * @throws {Trapped}
   */
  #call(id, state, event) {
    try {
      this.#app ??= instantiate(this.#component);
      return this.#app.handle(id, state, [event]);
    } catch (error) {
      this.#app = undefined;
      this.#topics.clear();
      const sockets = this.#context.getWebSockets();
      console.error(`the app ends, and with it ${sockets.length} connections: ${describe(error)}`);
      for (const socket of sockets) {
        end(socket, connectionOf(socket));
        close(socket, INTERNAL_ERROR, '');
      }
      throw new Trapped();
    }
  }
}

/**
 * @param {Component} component
 * @returns {App}
 */
function instantiate(component) {
  const module = (/** @type {string} */ name) => {
    const found = component.modules[name];
    if (!found) {
      throw new Error(`the module ${name} is missing: run wasocket-transpile again`);
    }
    return found;
  };
  return component.instantiate(module, wasi(console.error))[APP];
}

/**
 * The rule that was broken, if any. A trap has been handled already.
 *
 * @param {() => void} carryOut
 * @returns {Fault | undefined}
 */
function faultOf(carryOut) {
  try {
    carryOut();
  } catch (error) {
    if (error instanceof Fault) {
      return error;
    }
    if (!(error instanceof Trapped)) {
      // The platform has refused something, such as an attachment that is too long.
      return new Fault(error instanceof Error ? error.message : String(error));
    }
  }
  return undefined;
}

/**
 * What `subscribe` stands for.
 *
 * @param {string} topic
 * @returns {import('./contract/interfaces/wasocket-websocket-app.js').Subscription}
 */
function subscriptionTo(topic) {
  return { topic, start: { tag: 'now' }, keep: undefined, member: undefined, watchMembers: false, receiver: 'peer' };
}

/**
 * Without effect where the connection is closing or closed.
 *
 * @param {WebSocket} socket
 * @param {Message} message
 */
function send(socket, message) {
  if (socket.readyState === WebSocket.READY_STATE_OPEN) {
    socket.send(message.val);
  }
}

/**
 * A peer that does not keep up is closed, so that the others need not wait for it.
 *
 * @param {WebSocket} socket
 * @param {Message} message
 */
function sendPublished(socket, message) {
  const waiting = /** @type {{ bufferedAmount?: number }} */ (socket).bufferedAmount ?? 0;
  if (waiting > 0 && waiting + messageSize(message) > MAX_WAITING) {
    close(socket, TRY_AGAIN_LATER, 'too slow');
  } else {
    send(socket, message);
  }
}

/**
 * @param {WebSocket} socket
 * @param {number} code
 * @param {string} reason
 */
function close(socket, code, reason) {
  if (socket.readyState === WebSocket.READY_STATE_OPEN) {
    socket.close(code, reason);
  }
}

/**
 * RFC 6455 §5.5.1: an endpoint that receives a Close frame, and has sent none, sends one, which "typically echos the
 * status code"; without a code if there was none.
 *
 * @param {WebSocket} socket
 * @param {number} code
 */
function answerClose(socket, code) {
  if (socket.readyState !== WebSocket.READY_STATE_CLOSING || code === ABNORMAL) {
    return;
  }
  if (code === NO_STATUS) {
    socket.close();
  } else {
    socket.close(code);
  }
}

/**
 * The request as an app is given it. The platform has parsed it: the target is normalised, lines of one name are
 * joined, values are text.
 *
 * @param {Request} request
 * @returns {AppRequest}
 */
function toAppRequest(request) {
  const { host, pathname, search, protocol } = new URL(request.url);
  return {
    method: request.method,
    target: pathname + search,
    version: 'http11',
    authority: request.headers.get('Host') ?? host,
    protocol: undefined,
    fields: [...request.headers].map(([name, value]) => [name, new TextEncoder().encode(value)]),
    secure: protocol === 'https:',
    remote: undefined,
  };
}

/**
 * @param {AppResponse} response
 * @throws {TypeError} when it cannot be sent
 */
function respond({ head, body }) {
  if (head.status < 200 || head.status > 599) {
    throw new TypeError(`status ${head.status} is not possible here`);
  }
  const isEmpty = [204, 205, 304].includes(head.status);
  return new Response(isEmpty ? null : body, { status: head.status, headers: toHeaders(head.fields) });
}

/**
 * RFC 9110 §5.1: a field's name is a token; §5.5: its value has no control characters. How long a message is, the
 * platform says.
 *
 * @param {AppResponse['head']['fields']} fields
 * @throws {TypeError} when one of them cannot be sent
 */
function toHeaders(fields) {
  const headers = new Headers();
  for (const [name, bytes] of fields) {
    const value = new TextDecoder().decode(bytes);
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name) || /[\0-\x08\x0a-\x1f\x7f]/.test(value)) {
      throw new TypeError(`the field ${JSON.stringify(name)} has a bad name or value`);
    }
    if (/^(content-length|trailer|transfer-encoding)$/i.test(name)) {
      throw new TypeError(`the field ${JSON.stringify(name)} is for the host to set`);
    }
    headers.append(name, value);
  }
  return headers;
}

/** @param {unknown} error */
function describe(error) {
  const text = error instanceof Error ? error.stack : undefined;
  return (text ?? String(error)).slice(0, 2000);
}
