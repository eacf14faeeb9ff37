// The instances of a component and their members. JavaScript runs one thing at a time, and no call into a
// component waits: so an instance is never entered while a call into it is under way.

import vm from 'node:vm';
import { wasi } from '../wasi.js';

/**
 * @typedef {import('./options.js').Limits} Limits
 * @typedef {import('../contract/interfaces/wasocket-websocket-websocket-handler.js')} Handler
 * @typedef {(module: WebAssembly.Module, imports: WebAssembly.Imports) => WebAssembly.Instance} InstantiateCore
 */

/**
 * A component as `wasocket-transpile` writes it.
 *
 * @typedef {object} Component
 * @property {(module: (name: string) => WebAssembly.Module, imports: any, instantiateCore: InstantiateCore) => any}
 *   instantiate
 * @property {Record<string, WebAssembly.Module>} modules
 */

/** A user of an instance, which is told what other users of the instance have caused.
 *
 * @typedef {object} Member
 * @property {() => void} woken another member wants it to be called
 * @property {() => void} died the instance has ended
 */

const HANDLER = 'wasocket:websocket/websocket-handler@0.1.0';

/** The method with which jco drops an exported resource. */
const dispose = /** @type {symbol} */ (Symbol.dispose ?? Symbol.for('dispose'));

/** The instance has ended; why is in the log. */
export class Dead extends Error {}

export class Pool {
  #component;
  #limits;
  #log;
  #clock;
  /** @type {Set<Instance>} */
  #instances = new Set();

  /**
   * @param {Component} component
   * @param {Limits} limits
   * @param {(line: string) => void} log
   */
  constructor(component, limits, log) {
    this.#component = component;
    this.#limits = limits;
    this.#log = log;
    this.#clock = new Clock(limits);
  }

  /**
   * An instance with room for one more: a live one if possible, else a new one.
   *
   * @returns {Instance}
   * @throws {Dead} when a new one cannot be made
   */
  instance() {
    for (const instance of this.#instances) {
      if (instance.isDead) {
        this.#instances.delete(instance);
      } else if (instance.places < this.#limits.connectionsPerInstance) {
        return instance;
      }
    }
    const instance = new Instance(this.#component, this.#limits, this.#clock, this.#log);
    this.#instances.add(instance);
    return instance;
  }
}

/** Limits the time of calls into the instances of a component. */
class Clock {
  #callTimeout;
  #startTimeout;
  /** V8 compiles a function when it is called for the first time, on any instance: the first call takes far longer. */
  #isWarm = false;

  /** @param {Limits} limits */
  constructor({ callTimeout, startTimeout }) {
    this.#callTimeout = callTimeout;
    this.#startTimeout = startTimeout * 1000;
  }

  /**
   * @template T
   * @param {() => T} instantiate
   * @returns {T}
   */
  start(instantiate) {
    return within('startTimeout', this.#startTimeout, instantiate);
  }

  /**
   * @template T
   * @param {() => T} call
   * @returns {T}
   */
  call(call) {
    if (this.#isWarm) {
      return within('callTimeout', this.#callTimeout, call);
    }
    const result = this.start(call);
    this.#isWarm = true;
    return result;
  }
}

/** One instance of the component. */
export class Instance {
  /** How many requests and connections use it. */
  places = 0;
  #limits;
  #clock;
  #log;
  /** @type {WebAssembly.Memory[]} */
  #memories = [];
  /** @type {Handler | undefined} */
  #handler;
  /** @type {Map<bigint, Member>} */
  #members = new Map();
  #lastId = 0n;
  /** The members to be woken that have not been called yet. @type {Set<bigint>} */
  #rung = new Set();

  /**
   * @param {Component} component
   * @param {Limits} limits
   * @param {Clock} clock
   * @param {(line: string) => void} log
   * @throws {Dead} when its start fails
   */
  constructor(component, limits, clock, log) {
    this.#limits = limits;
    this.#clock = clock;
    this.#log = log;
    try {
      const module = (/** @type {string} */ name) => moduleOf(component, name);
      const instantiate = (/** @type {WebAssembly.Module} */ core, /** @type {WebAssembly.Imports} */ imports) =>
        this.#instantiate(core, imports);
      const exports = clock.start(() => component.instantiate(module, wasi(log), instantiate));
      this.#handler = exports[HANDLER];
    } catch (error) {
      this.#log(`an instance cannot be made: ${describe(error)}`);
      throw new Dead();
    }
  }

  get isDead() {
    return this.#handler === undefined;
  }

  /** @type {InstantiateCore} */
  #instantiate(module, imports) {
    const instance = new WebAssembly.Instance(module, imports);
    const memories = Object.values(instance.exports).filter((value) => value instanceof WebAssembly.Memory);
    this.#memories.push(...memories);
    return instance;
  }

  /**
   * Calls the component. Anything it throws ends the instance, and all members are told.
   *
   * @template T
   * @param {(handler: Handler) => T} call
   * @returns {T}
   * @throws {Dead}
   */
  call(call) {
    const handler = this.#handler;
    if (handler === undefined) {
      throw new Dead();
    }
    try {
      const result = this.#clock.call(() => call(handler));
      this.#checkMemory();
      return result;
    } catch (error) {
      this.#end(error);
      throw new Dead();
    }
  }

  /** A component has the memory before it can be told that it may not: the bound is kept from call to call. */
  #checkMemory() {
    const size = this.#memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0);
    if (size > this.#limits.memory * 2 ** 20) {
      throw new Error(`it has taken ${size} bytes of memory, more than ${this.#limits.memory} MiB`);
    }
  }

  /** @param {unknown} error */
  #end(error) {
    this.#handler = undefined;
    this.#log(`an instance ends, and with it ${this.#members.size} connections: ${describe(error)}`);
    for (const member of [...this.#members.values()]) {
      member.died();
    }
  }

  /**
   * A number for a member, by which others may have it called.
   *
   * @param {Member} member
   * @returns {bigint}
   */
  admit(member) {
    this.#lastId += 1n;
    this.#members.set(this.#lastId, member);
    return this.#lastId;
  }

  /**
   * The member is gone, and with it the component's resource that the host held.
   *
   * @param {bigint} id
   * @param {object} resource
   */
  leave(id, resource) {
    this.#members.delete(id);
    this.drop(resource);
  }

  /**
   * Drops a resource: exactly once, or the garbage collector would once more.
   *
   * @param {object} resource
   */
  drop(resource) {
    const drop = () => /** @type {any} */ (resource)[dispose]?.();
    if (!this.isDead) {
      try {
        this.call(drop);
      } catch {
        // It has been logged.
      }
      return;
    }
    try {
      // The resource is gone with its instance; but jco still has to be told to leave it alone.
      this.#clock.call(drop);
    } catch {
      // A dead instance may trap.
    }
  }

  /**
   * Has members woken: each is called soon, and once.
   *
   * @param {Iterable<bigint>} ids
   */
  wake(ids) {
    for (const id of ids) {
      if (this.#members.has(id) && !this.#rung.has(id)) {
        this.#rung.add(id);
        setImmediate(() => {
          this.#rung.delete(id);
          this.#members.get(id)?.woken();
        });
      }
    }
  }
}

/**
 * @param {Component} component
 * @param {string} name
 */
function moduleOf({ modules }, name) {
  const module = modules[name];
  if (module === undefined) {
    throw new Error(`the module ${name} is missing: run wasocket-transpile again`);
  }
  return module;
}

const context = vm.createContext({ call: () => {} });
const script = new vm.Script('call()');

/**
 * Calls a function that may take this number of milliseconds, by this option; 0 is unlimited. Node's `vm` can
 * interrupt WebAssembly.
 *
 * @template T
 * @param {string} option
 * @param {number} timeout
 * @param {() => T} call
 * @returns {T}
 */
function within(option, timeout, call) {
  if (timeout === 0) {
    return call();
  }
  context.call = call;
  try {
    return script.runInContext(context, { timeout });
  } catch (error) {
    // No `instanceof`: the error is of the context's own realm.
    const isLate = /** @type {any} */ (error)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
    throw isLate ? new Error(`the component did not return within ${timeout} ms (${option})`) : error;
  }
}

/** An error and where it was, in a few lines. */
function describe(/** @type {unknown} */ error) {
  const text = error instanceof Error ? error.stack : undefined;
  return (text ?? String(error)).slice(0, 2000);
}
