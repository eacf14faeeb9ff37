// The part of WASI 0.2, in every version, that WebAssembly components get: clocks, random numbers, and standard
// output and error, which go to a log. All else is present, because the standard libraries of languages
// import it, and empty: no arguments, no environment, no input, no directories; sockets refuse.
//
// Without dependencies, and without anything of Node, so that it is the same on Cloudflare Workers.

/** The longest line that is logged in one piece. */
const MAX_LINE = 8192;

/** The most bytes that a call for random numbers may ask for: the limit of `crypto.getRandomValues`. */
const MAX_RANDOM = 65_536;

/** The interfaces that {@link wasi} provides begin with these. */
export const PROVIDED = ['wasi:cli/', 'wasi:clocks/', 'wasi:filesystem/', 'wasi:io/', 'wasi:random/', 'wasi:sockets/'];

/**
 * The imports of one instance, by interface.
 *
 * @param {(line: string) => void} log takes the component's output, line by line
 * @returns {Record<string, any>}
 */
export function wasi(log) {
  const stdin = new InputStream();
  const stdout = new OutputStream('stdout', log);
  const stderr = new OutputStream('stderr', log);
  return {
    'wasi:cli/environment': { getArguments: () => [], getEnvironment: () => [], initialCwd: () => undefined },
    'wasi:cli/exit': { exit: refuseToExit, exitWithCode: refuseToExit },
    'wasi:cli/stdin': { getStdin: () => stdin },
    'wasi:cli/stdout': { getStdout: () => stdout },
    'wasi:cli/stderr': { getStderr: () => stderr },
    'wasi:cli/terminal-input': { TerminalInput: None },
    'wasi:cli/terminal-output': { TerminalOutput: None },
    'wasi:cli/terminal-stdin': { getTerminalStdin: () => undefined },
    'wasi:cli/terminal-stdout': { getTerminalStdout: () => undefined },
    'wasi:cli/terminal-stderr': { getTerminalStderr: () => undefined },
    'wasi:clocks/monotonic-clock': monotonicClock,
    'wasi:clocks/wall-clock': wallClock,
    'wasi:filesystem/preopens': { getDirectories: () => [] },
    'wasi:filesystem/types': { Descriptor: None, DirectoryEntryStream: None, filesystemErrorCode: () => undefined },
    'wasi:io/error': { Error: None },
    'wasi:io/poll': { Pollable, poll },
    'wasi:io/streams': { InputStream, OutputStream },
    'wasi:random/random': random,
    'wasi:random/insecure': {
      getInsecureRandomBytes: random.getRandomBytes,
      getInsecureRandomU64: random.getRandomU64,
    },
    'wasi:random/insecure-seed': { insecureSeed: () => [random.getRandomU64(), random.getRandomU64()] },
    'wasi:sockets/network': { Network: None, networkErrorCode: () => undefined },
    'wasi:sockets/instance-network': { instanceNetwork: () => new None() },
    'wasi:sockets/ip-name-lookup': { ResolveAddressStream: None, resolveAddresses: deny },
    'wasi:sockets/tcp': { TcpSocket: None },
    'wasi:sockets/tcp-create-socket': { createTcpSocket: deny },
    'wasi:sockets/udp': { UdpSocket: None, IncomingDatagramStream: None, OutgoingDatagramStream: None },
    'wasi:sockets/udp-create-socket': { createUdpSocket: deny },
  };
}

/** A resource that does not exist, or does nothing. */
class None {}

/** The error code of `wasi:sockets` for anything not granted. */
function deny() {
  throw 'access-denied';
}

/** @returns {never} */
function refuseToExit() {
  throw new Error('the app called exit');
}

/** Ready from an instant on, in nanoseconds of the monotonic clock; at once if there is no instant. */
class Pollable {
  #at;

  /** @param {bigint} [at] */
  constructor(at = 0n) {
    this.#at = at;
  }

  ready() {
    return monotonicClock.now() >= this.#at;
  }

  /** Every function of a component returns at once (`wit/world.wit`): one that waits is ended. */
  block() {
    if (!this.ready()) {
      throw new Error('the app waited inside a call');
    }
  }
}

/** @param {Pollable[]} pollables */
function poll(pollables) {
  const ready = pollables.flatMap((pollable, i) => (pollable.ready() ? [i] : []));
  if (ready.length === 0) {
    throw new Error('the app waited inside a call');
  }
  return Uint32Array.from(ready);
}

/** Standard input, at its end. */
class InputStream {
  /** @returns {never} */
  read() {
    throw { tag: 'closed' };
  }

  blockingRead = this.read;
  skip = this.read;
  blockingSkip = this.read;

  subscribe() {
    return new Pollable();
  }
}

/** Logs what is written to it, line by line. */
class OutputStream {
  #name;
  #log;
  #line = '';
  #decoder = new TextDecoder();

  /**
   * @param {string} name
   * @param {(line: string) => void} log
   */
  constructor(name, log) {
    this.#name = name;
    this.#log = log;
  }

  checkWrite() {
    return BigInt(MAX_LINE);
  }

  /** @param {Uint8Array} bytes */
  write(bytes) {
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#line = lines.pop() ?? '';
    lines.forEach((line) => this.#print(line));
    if (this.#line.length > MAX_LINE) {
      this.#print(this.#line);
      this.#line = '';
    }
  }

  blockingWriteAndFlush(/** @type {Uint8Array} */ bytes) {
    this.write(bytes);
  }

  /** @param {bigint} length */
  writeZeroes(length) {
    this.write(new Uint8Array(Math.min(Number(length), MAX_LINE)));
  }

  blockingWriteZeroesAndFlush(/** @type {bigint} */ length) {
    this.writeZeroes(length);
  }

  flush() {}

  blockingFlush() {}

  subscribe() {
    return new Pollable();
  }

  /** @param {string} line */
  #print(line) {
    // A component must not write control sequences to the operator's terminal.
    const text = line.trimEnd().replace(/\p{Cc}/gu, ' ');
    if (text !== '') {
      this.#log(`${this.#name}: ${text}`);
    }
  }
}

const monotonicClock = {
  now: () => BigInt(Math.round(performance.now() * 1e6)),
  resolution: () => 1_000_000n,
  subscribeInstant: (/** @type {bigint} */ at) => new Pollable(at),
  subscribeDuration: (/** @type {bigint} */ duration) => new Pollable(monotonicClock.now() + duration),
};

const wallClock = {
  now() {
    const ms = Date.now();
    return { seconds: BigInt(Math.floor(ms / 1000)), nanoseconds: (ms % 1000) * 1e6 };
  },
  resolution: () => ({ seconds: 0n, nanoseconds: 1_000_000 }),
};

const random = {
  getRandomBytes(/** @type {bigint} */ length) {
    if (length > BigInt(MAX_RANDOM)) {
      throw new Error(`the app asked for ${length} random bytes at once, ${MAX_RANDOM} at most`);
    }
    return crypto.getRandomValues(new Uint8Array(Number(length)));
  },
  getRandomU64: () => /** @type {bigint} */ (crypto.getRandomValues(new BigUint64Array(1))[0]),
};
