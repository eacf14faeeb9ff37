// The calls into one taken-over connection: which may come next, and what their effects mean. Without I/O, as
// `host-core/src/turn.rs`, with which it shares the table of `tests/vectors/turns.json`. The rules are those of
// `wit/websocket-handler.wit`.

/**
 * A call that the host now makes into the connection.
 * @typedef {'receive-eof' | 'wake' | 'shutdown' | 'lost' | 'report' | 'resume'} Call
 *
 * `resume` comes in place of the call that would have been made had the connection not been suspended. After its effects,
 * the host asks again.
 */

/**
 * How the host ends the socket: after all output, at once, or after all output and the final bytes.
 * @typedef {'close' | 'abort' | 'final-bytes'} Ending
 */

/** @typedef {import('../contract/interfaces/wasocket-websocket-types.js').Next} Next */

/**
 * The state of one taken-over connection, as the contract sees it. The host tells it what happens, makes the call
 * that it returns, and reports that call's effects with `onEffects`. It begins with the effects of `open`.
 */
export class Turn {
  /**
   * `reading` and `paused`: the component has the socket. `suspended`: the host keeps the connection as a state.
   * `ended`: only a report may follow. `over`: nothing may.
   * @type {'reading' | 'paused' | 'suspended' | 'ended' | 'over'}
   */
  #phase = 'reading';
  #eofTold = false;
  #shutdownTold = false;
  #unsent = 0;
  /** @type {bigint | undefined} */
  #wakeAt;

  /** Whether the connection goes on: the component has not ended it, and the socket is not lost. */
  get isOpen() {
    return this.#phase !== 'ended' && this.#phase !== 'over';
  }

  /** Whether the host keeps the connection as a state. */
  get isSuspended() {
    return this.#phase === 'suspended';
  }

  /** Whether the socket is to be read, and `receive` and `receive-eof` may be called. */
  get mayReceive() {
    return this.#phase === 'reading' && !this.#eofTold && this.#unsent === 0;
  }

  /** Whether publications may be delivered, and events told: also after a pause, and after the end of the input. */
  get mayDeliver() {
    return this.isOpen && !this.isSuspended && this.#unsent === 0;
  }

  /** Whether `suspend` may be called, by a host that has no `wake` outstanding but the one of `wakeAt`. */
  get maySuspend() {
    return this.mayReceive && !this.#shutdownTold;
  }

  /** The host keeps the state that `suspend` has returned, and has dropped the connection. */
  onSuspended() {
    if (this.maySuspend) {
      this.#phase = 'suspended';
    }
  }

  /**
   * Bytes have arrived, or something of a topic. Returns what the host does before the component can be given them.
   *
   * @returns {Call | undefined}
   */
  onArrival() {
    return this.isSuspended ? 'resume' : undefined;
  }

  /** When the component wants to be woken. */
  get wakeAt() {
    return this.#wakeAt;
  }

  /** The number of bytes of output that the host has not been able to send. */
  get unsent() {
    return this.#unsent;
  }

  /**
   * A call has had these effects.
   *
   * @param {Next} next
   * @param {bigint | undefined} wakeAt
   * @returns {Ending | undefined}
   */
  onEffects(next, wakeAt) {
    if (!this.isOpen) {
      return undefined;
    }
    if (next === 'close' || next === 'abort') {
      this.#leave('ended');
      return next;
    }
    this.#phase = next === 'pause' ? 'paused' : 'reading';
    this.#wakeAt = wakeAt;
    return undefined;
  }

  /**
   * The host has sent as much as the socket takes, and this many bytes are left. The last of them earn a wake.
   *
   * @param {number} unsent
   * @returns {Call | undefined}
   */
  onSent(unsent) {
    const wasUnsent = this.#unsent > 0;
    this.#unsent = unsent;
    return wasUnsent && unsent === 0 ? this.onWoken() : undefined;
  }

  /**
   * The peer has finished sending. Where `mayReceive` does not hold yet, the host asks again once it does.
   *
   * @returns {Call | undefined}
   */
  onEof() {
    if (this.isSuspended) {
      return 'resume';
    }
    if (!this.mayReceive) {
      return undefined;
    }
    this.#eofTold = true;
    return 'receive-eof';
  }

  /**
   * The time is `now`. Wakes the component if it asked for that, and never early.
   *
   * @param {bigint} now
   * @returns {Call | undefined}
   */
  onTime(now) {
    return this.#wakeAt !== undefined && this.#wakeAt <= now ? this.onWoken() : undefined;
  }

  /**
   * Another call has named the connection in `wake-others`. Any wake uses `wakeAt` up.
   *
   * @returns {Call | undefined}
   */
  onWoken() {
    if (this.isSuspended) {
      return 'resume';
    }
    this.#wakeAt = undefined;
    return this.isOpen ? 'wake' : undefined;
  }

  /**
   * The host wants the connection to end cleanly. The component is told once.
   *
   * @returns {Call | undefined}
   */
  onStop() {
    if (this.isSuspended) {
      return 'resume';
    }
    if (!this.isOpen || this.#shutdownTold) {
      return undefined;
    }
    this.#shutdownTold = true;
    return 'shutdown';
  }

  /**
   * The socket has failed, or the host has given it up. A component that has let go of it is not told.
   *
   * @returns {Call | undefined}
   */
  onLost() {
    if (this.isSuspended) {
      return 'resume';
    }
    if (!this.isOpen) {
      return undefined;
    }
    this.#leave('ended');
    return 'lost';
  }

  /**
   * The instance has died: a host never leaves a taken-over socket open without a component behind it.
   *
   * @returns {Ending | undefined}
   */
  onDied() {
    const wasOpen = this.isOpen;
    this.#leave('over');
    return wasOpen ? 'final-bytes' : undefined;
  }

  /**
   * The host asks for the outcome of the connection: once, as its last call.
   *
   * @returns {Call | undefined}
   */
  onReport() {
    if (this.#phase !== 'ended') {
      return undefined;
    }
    this.#leave('over');
    return 'report';
  }

  /** @param {'ended' | 'over'} phase */
  #leave(phase) {
    this.#phase = phase;
    this.#wakeAt = undefined;
  }
}
