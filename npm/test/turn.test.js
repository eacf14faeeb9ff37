// `Turn` against the table of tests/vectors/turns.json, which the hosts in Rust keep to as well.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Turn } from '../node/turn.js';

const file = new URL('../../tests/vectors/turns.json', import.meta.url);
const { states, transitions, sequences } = JSON.parse(readFileSync(file, 'utf8'));

/** What the host does after an event, in the words of the table. */
function happen(turn, event) {
  const [name, ...words] = event.split(' ');
  switch (name) {
    case 'effects':
      return turn.onEffects(words[0], words[1] === undefined ? undefined : BigInt(words[1]));
    case 'sent':
      return turn.onSent(Number(words[0]));
    case 'eof':
      return turn.onEof();
    case 'time':
      return turn.onTime(BigInt(words[0]));
    case 'woken':
      return turn.onWoken();
    case 'stop':
      return turn.onStop();
    case 'lost':
      return turn.onLost();
    case 'died':
      return turn.onDied();
    case 'report':
      return turn.onReport();
    case 'arrival':
      return turn.onArrival();
    case 'suspended': {
      const { maySuspend } = turn;
      turn.onSuspended();
      return maySuspend ? 'suspend' : undefined;
    }
  }
  throw new Error(`no event: ${event}`);
}

function stateOf(turn) {
  assert.ok(turn.mayDeliver || !turn.mayReceive);
  return turn.mayReceive ? 'reads' : turn.mayDeliver ? 'delivers' : turn.isOpen ? 'waits' : 'ended';
}

function check(name, turn, steps) {
  for (const [event, does, then] of steps) {
    const done = happen(turn, event) ?? '';
    assert.deepEqual([done, stateOf(turn)], [does, then], `${name}: ${event}`);
  }
}

test('follows the table of transitions', () => {
  assert.ok(transitions.length > 150);
  for (const [state, event, does, then] of transitions) {
    const turn = new Turn();
    for (const before of states[state]) {
      happen(turn, before);
    }
    check(state, turn, [[event, does, then]]);
  }
});

test('follows the sequences of events', () => {
  assert.ok(sequences.length > 15);
  for (const { name, steps } of sequences) {
    check(name, new Turn(), steps);
  }
});
