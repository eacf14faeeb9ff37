// An echo: every message comes back unchanged.

export const app = {
  handle(connection, state, events) {
    return events.flatMap(answer);
  },
};

function answer({ tag, val }) {
  switch (tag) {
    case 'open':
      return [{ tag: 'accept', val: { subprotocol: 'echo', fields: [] } }];
    case 'message':
      return [{ tag: 'send', val }];
    default:
      return [];
  }
}
