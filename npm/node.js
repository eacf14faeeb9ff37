// Apps behind Node's HTTP server.

import { readFileSync } from 'node:fs';
import { debuglog } from 'node:util';
import { now } from './node/clock.js';
import { end } from './node/end.js';
import { BadAnswer, bodyOf, fieldsOf, lastResponse, plain, takeoverHead, toRequest } from './node/http.js';
import { Refusals, pathOf, quoted } from './node/log.js';
import { limitsOf } from './node/options.js';
import { Dead, Pool } from './node/pool.js';
import { Session } from './node/session.js';
import { Topics } from './node/topics.js';

/**
 * @typedef {import('node:http').Server | import('node:https').Server} Server
 * @typedef {import('node:http').ServerResponse} ServerResponse
 * @typedef {import('node:net').Socket} Socket
 * @typedef {import('./node/http.js').IncomingMessage} IncomingMessage
 * @typedef {import('./node/http.js').Request} Request
 * @typedef {import('./node/http.js').Response} Response
 * @typedef {import('./node/pool.js').Component} Component
 * @typedef {import('./node/pool.js').Instance} Instance
 * @typedef {import('./node/options.js').Options} Options
 * @typedef {import('./node/options.js').End} End
 * @typedef {import('./contract/interfaces/wasocket-websocket-websocket-handler.js').Answer} Answer
 * @typedef {import('./contract/interfaces/wasocket-websocket-websocket-handler.js').Takeover} Takeover
 * @typedef {import('./contract/interfaces/wasocket-websocket-websocket-handler.js').PendingRequest} PendingRequest
 */

/** The answer to a client if the app fails. The details are in the log. */
const FAILED = plain(500, 'The application failed.');
const TOO_LATE = plain(504, 'The application took too long.');
const NEEDS_HTTP_11 = plain(501, 'This needs HTTP/1.1.');
const NEEDS_UPGRADE = plain(501, 'This needs a request with Connection: Upgrade.');
const CLOSING = plain(503, 'The server is stopping.');

/** Logs ordinary events, with `NODE_DEBUG=wasocket`. */
const debug = debuglog('wasocket');

/**
 * Compiles the modules of a component, once for all instances.
 *
 * @param {URL} folder where they are
 * @param {string[]} names
 * @returns {Component['modules']}
 */
export function compile(folder, names) {
  const module = (/** @type {string} */ name) => new WebAssembly.Module(readFileSync(new URL(name, folder)));
  return Object.fromEntries(names.map((name) => [name, module(name)]));
}

/**
 * An app, to be put behind one or more servers of `node:http` or `node:https`.
 *
 * ```js
 * const app = new App(component);
 * const server = createServer(app.listener);
 * app.attach(server);
 * server.listen(1234);
 * ```
 */
export class App {
  /** Answers plain HTTP: for `createServer`, or as the handler of an Express app. */
  listener;
  #pool;
  /** Topics reach all connections of this app. */
  #topics = new Topics((error) => this.#log(`an action on a topic is lost to a bug in the host: ${textOf(error)}`));
  #limits;
  #log;
  #refusals;
  #onEnd;
  /** The last response of a socket, until it is sent. @type {WeakMap<object, ServerResponse>} */
  #unsent = new WeakMap();
  /** @type {Set<Session>} */
  #sessions = new Set();
  #isClosing = false;
  /** Called when the last session has ended. @type {(() => void) | undefined} */
  #onIdle;

  /**
   * @param {Component} component the export of `component.js` in a folder made by `wasocket-transpile`
   * @param {Options} [options]
   * @throws {TypeError | RangeError} on an unknown option, or an invalid value
   */
  constructor(component, options = {}) {
    this.#limits = limitsOf(options);
    const log = options.log ?? console.error;
    // Both are foreign code, and what they throw must cost no connection.
    this.#log = (/** @type {string} */ line) => attempt(() => log(line), () => {});
    this.#refusals = new Refusals(this.#log);
    this.#onEnd = options.onEnd;
    this.#pool = new Pool(component, this.#limits, this.#log);
    this.listener = (/** @type {IncomingMessage} */ request, /** @type {ServerResponse} */ response) => {
      this.#answer(request, response).catch((error) => this.#contain(error, response));
    };
  }

  /**
   * Takes a server's requests for another protocol: WebSocket, or any that the app knows.
   *
   * @param {Server} server
   * @param {(request: IncomingMessage) => boolean} [isOwn] selects the app's. Default: all. Those that no listener
   *   takes get no answer
   * @returns {this}
   */
  attach(server, isOwn = () => true) {
    // All responses, including those of other handlers.
    server.prependListener('request', (_, response) => this.#track(response));
    server.on('upgrade', (request, socket, head) => {
      const upgrade = async () => isOwn(request) && (await this.#upgrade(request, /** @type {Socket} */ (socket), head));
      upgrade().catch((error) => this.#contain(error, socket));
    });
    return this;
  }

  /**
   * Ends all connections cleanly: a WebSocket with close code 1001. Those that have not ended after
   * `shutdownTimeout` are cut off. From now on, requests for a WebSocket get 503.
   */
  async close() {
    this.#isClosing = true;
    const idle = new Promise((resolve) => {
      this.#onIdle = () => resolve(undefined);
    });
    for (const session of this.#sessions) {
      session.shutdown('going-away');
    }
    this.#checkIdle();
    const timer = setTimeout(() => this.#abort(), this.#limits.shutdownTimeout * 1000);
    await idle;
    clearTimeout(timer);
  }

  /**
   * Keeps an unexpected exception from ending the process: it costs one connection.
   *
   * @param {unknown} error
   * @param {{ destroy(): void }} connection
   */
  #contain(error, connection) {
    this.#log(`connection lost to a bug in the host: ${textOf(error)}`);
    connection.destroy();
  }

  /** @param {ServerResponse} response */
  #track(response) {
    const { socket } = response.req;
    this.#unsent.set(socket, response);
    response.once('close', () => {
      if (this.#unsent.get(socket) === response) {
        this.#unsent.delete(socket);
      }
    });
  }

  #abort() {
    this.#sessions.forEach((session) => session.abort());
  }

  #checkIdle() {
    if (this.#sessions.size === 0) {
      this.#onIdle?.();
    }
  }

  /**
   * @param {IncomingMessage} incoming
   * @param {ServerResponse} outgoing
   */
  async #answer(incoming, outgoing) {
    const request = toRequest(incoming);
    const respond = (/** @type {Response} */ response) => {
      outgoing.setTimeout(this.#limits.sendTimeout * 1000, () => {
        debug('%s has stopped reading', request.remote);
        outgoing.destroy();
      });
      const fields = fieldsOf(response);
      try {
        outgoing.writeHead(response.head.status, fields);
      } catch (error) {
        // Node has rules of its own.
        throw new BadAnswer(`Node does not accept it: ${error instanceof Error ? error.message : error}`);
      }
      outgoing.end(bodyOf(response));
    };
    const { answer, instance } = await this.#decide(request, incoming.socket);
    if (answer.tag === 'takeover') {
      // Node's parser has the socket.
      instance?.drop(answer.val.connection);
      respond(NEEDS_UPGRADE);
    } else {
      this.#unlessBad(request, respond, answer.val);
    }
  }

  /**
   * @param {IncomingMessage} incoming
   * @param {Socket} socket
   * @param {Buffer} residual
   */
  async #upgrade(incoming, socket, residual) {
    // No one else uses the socket from here on. If it fails it is closed, and nothing else matters.
    socket.on('error', () => {});
    // RFC 9112 §9.3.2: responses to pipelined requests come in the order of these.
    const before = this.#unsent.get(socket);
    if (before) {
      await new Promise((resolve) => before.once('close', resolve));
    }
    const request = toRequest(incoming);
    const respond = (/** @type {Response} */ response) => {
      socket.write(lastResponse(response, request.method === 'HEAD'));
      end(socket, this.#limits.sendTimeout * 1000);
    };
    if (this.#isClosing) {
      this.#refusals.add(request, 503, 'the server is stopping');
      respond(CLOSING);
      return;
    }
    const { answer, instance } = await this.#decide(request, socket);
    if (answer.tag === 'takeover' && instance) {
      this.#unlessBad(request, respond, () => this.#take(instance, answer.val, request, socket, residual));
    } else if (answer.tag === 'respond') {
      this.#unlessBad(request, respond, answer.val);
    }
  }

  /**
   * Sends a response, or leaves it out; 500 if the component's response cannot be sent.
   *
   * @param {Request} request
   * @param {(response: Response) => void} respond
   * @param {Response | (() => Response | undefined)} answer
   */
  #unlessBad(request, respond, answer) {
    try {
      const response = typeof answer === 'function' ? answer() : answer;
      if (response) {
        respond(response);
      }
    } catch (error) {
      if (error instanceof BadAnswer) {
        this.#log(`cannot send the app's answer to ${subject(request)}, sending 500: ${error.message}`);
      } else if (!(error instanceof Dead)) {
        throw error;
      }
      respond(FAILED);
    }
  }

  /**
   * Hands the socket over, or returns the response that says why not.
   *
   * @param {Instance} instance
   * @param {Takeover} takeover
   * @param {Request} request
   * @param {Socket} socket
   * @param {Buffer} residual
   * @returns {Response | undefined}
   * @throws {BadAnswer | Dead}
   */
  #take(instance, takeover, request, socket, residual) {
    const since = performance.now();
    const session = new Session(socket, instance, takeover, this.#topics, this.#limits, (error, report) => {
      this.#sessions.delete(session);
      this.#checkIdle();
      const path = pathOf(request);
      this.#ended({ remote: request.remote, path, duration: performance.now() - since, error, report });
    }, (error) => this.#contain(error, socket));
    try {
      if (socket.destroyed) {
        session.cancel();
        return undefined;
      }
      // RFC 9110 §7.8: a server that receives Upgrade in HTTP/1.0 "MUST ignore that Upgrade field".
      if (request.version !== 'http11') {
        session.cancel();
        return NEEDS_HTTP_11;
      }
      const head = takeoverHead(takeover.response, takeover.finalBytes, request);
      const opened = session.open(residual);
      this.#sessions.add(session);
      session.serve(head, opened);
      return undefined;
    } catch (error) {
      session.cancel();
      throw error;
    }
  }

  /**
   * Logs a fault, and reports the end to `onEnd`.
   *
   * @param {End} end
   */
  #ended(end) {
    const { remote, path, report } = end;
    if (report?.fault !== undefined) {
      this.#log(`${remote} ${quoted(path)}: app error: ${quoted(report.fault)}`);
    }
    debug('%o', end);
    attempt(
      () => this.#onEnd?.(end),
      (error) => this.#log(`onEnd has thrown: ${textOf(error)}`),
    );
  }

  /**
   * Asks the component for its answer to a request, which may be pending first. Returns the answer, and the instance
   * that a takeover belongs to.
   *
   * @param {Request} request
   * @param {Socket} socket
   * @returns {Promise<{ answer: Answer, instance?: Instance }>}
   */
  async #decide(request, socket) {
    try {
      const instance = this.#pool.instance();
      const decision = instance.call((handler) => handler.handle(request));
      const { verdict } = decision;
      instance.wake(decision.wakeOthers);
      this.#topics.publish(decision.publications);
      this.#logFault(request, decision.fault);
      if (verdict.tag === 'pending') {
        return { answer: await this.#poll(instance, verdict.val, request, socket), instance };
      }
      const answer = verdict.val;
      this.#logRefusal(request, answer, decision.refusal);
      return { answer, instance };
    } catch (error) {
      if (error instanceof Dead) {
        return { answer: { tag: 'respond', val: FAILED } };
      }
      throw error;
    }
  }

  /**
   * @param {Request} request
   * @param {string | undefined} fault what the app has done wrong, before there is a connection
   */
  #logFault(request, fault) {
    if (fault !== undefined) {
      this.#log(`${request.remote} ${quoted(pathOf(request))}: app error: ${quoted(fault)}`);
    }
  }

  /**
   * @param {Request} request
   * @param {Answer} answer
   * @param {string | undefined} refusal why the app refuses the request, if it does
   */
  #logRefusal(request, answer, refusal) {
    if (answer.tag === 'respond' && refusal !== undefined) {
      this.#refusals.add(request, answer.val.head.status, refusal);
    }
  }

  /**
   * Polls a pending request whenever there is a reason to, until there is an answer, the time is up, or the client
   * is gone.
   *
   * @param {Instance} instance
   * @param {PendingRequest} pendingRequest
   * @param {Request} request
   * @param {Socket} socket
   * @returns {Promise<Answer>}
   */
  #poll(instance, pendingRequest, request, socket) {
    return new Promise((resolve, reject) => {
      /** @type {NodeJS.Timeout | undefined} */
      let timer;
      const settle = (/** @type {Answer} */ answer) => {
        finish();
        resolve(answer);
      };
      const giveUp = () => settle({ tag: 'respond', val: TOO_LATE });
      const finish = () => {
        clearTimeout(timer);
        clearTimeout(deadline);
        socket.off('close', giveUp);
        instance.places -= 1;
        instance.leave(id, pendingRequest);
      };
      const ask = () => {
        try {
          const result = instance.call(() => pendingRequest.poll(now(), id));
          const { answer, wakeAt, fault, refusal } = result;
          instance.wake(result.wakeOthers);
          this.#topics.publish(result.publications);
          this.#logFault(request, fault);
          clearTimeout(timer);
          if (answer) {
            this.#logRefusal(request, answer, refusal);
            settle(answer);
          } else if (wakeAt !== undefined) {
            const delay = Number((wakeAt - now()) / 1_000_000n) + 1;
            timer = setTimeout(ask, Math.max(0, Math.min(delay, this.#limits.decisionTimeout * 1000)));
          }
        } catch (error) {
          if (!(error instanceof Dead)) {
            reject(error);
          }
        }
      };
      const died = () => {
        finish();
        reject(new Dead());
      };
      const id = instance.admit({ woken: ask, died });
      instance.places += 1;
      const deadline = setTimeout(() => {
        this.#log(`the app did not answer ${subject(request)} in time, sending 504 (decisionTimeout)`);
        giveUp();
      }, this.#limits.decisionTimeout * 1000);
      socket.once('close', giveUp);
      ask();
    });
  }
}

/**
 * @param {() => void} act
 * @param {(error: unknown) => void} onError
 */
function attempt(act, onError) {
  try {
    act();
  } catch (error) {
    onError(error);
  }
}

/** @param {unknown} error */
function textOf(error) {
  return error instanceof Error ? error.stack : String(error);
}

/** @param {Request} request */
function subject(request) {
  return `${request.method} ${quoted(pathOf(request))}`;
}
