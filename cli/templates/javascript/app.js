// An app: a page at /, and the WebSocket that the page talks to. wit/app.wit documents all events and actions.

import page from './page.js';

export const app = {
  // Called for events on a connection. Its state, up to 2,048 bytes, is kept until the next call.
  handle(connection, state, events) {
    const member = state.length > 0 ? JSON.parse(decode(state)) : { count: 0 };
    return events.flatMap((event) => on(event, member));
  },
};

function on({ tag, val }, member) {
  switch (tag) {
    case 'request':
      return val.target === '/' ? [html(page)] : [];
    case 'open':
      return [{ tag: 'accept', val: { fields: [] } }];
    case 'message':
      member.count += 1;
      return [
        { tag: 'send', val: answer(val, member) },
        { tag: 'set-state', val: encode(JSON.stringify(member)) },
      ];
    default:
      return [];
  }
}

function answer(message, { count }) {
  return message.val === 'count' ? { tag: 'text', val: `${count} messages` } : message;
}

function html(body) {
  const fields = [['Content-Type', encode('text/html; charset=utf-8')]];
  return { tag: 'respond', val: { head: { status: 200, fields }, body: encode(body) } };
}

function encode(text) {
  return new TextEncoder().encode(text);
}

function decode(bytes) {
  return new TextDecoder().decode(bytes);
}
