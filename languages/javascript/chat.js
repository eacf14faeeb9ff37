// A chat: everyone connected to /rooms/ROOM?NAME sees what the others say there.
//
// A member's name and number of messages are the state of their connection; the room is a channel.
// `/bye`, `/crash` and `/flood` show how an app ends a connection, and how it fails.

const encode = (text) => new TextEncoder().encode(text);
const decode = (bytes) => new TextDecoder().decode(bytes);

export const app = {
  handle(connection, state, events) {
    const member = state.length > 0 ? JSON.parse(decode(state)) : {};
    const actions = events.flatMap((event) => on(event, member));
    const after = encode(JSON.stringify(member));
    if (member.room !== undefined && decode(after) !== decode(state)) {
      actions.push({ tag: 'set-state', val: after });
    }
    return actions;
  },
};

function on({ tag, val }, member) {
  switch (tag) {
    case 'request':
      return val.target === '/' ? [respond(200, `Connect to ${val.authority}/rooms/ROOM?NAME\n`)] : [];
    case 'open':
      return open(val, member);
    case 'message':
      return val.tag === 'text' ? hear(val.val, member) : [close(1003, 'text only')];
    case 'closed':
      // Clients that were refused have not joined.
      return member.room ? [say(member.room, `${member.name} left (${val.code})`)] : [];
  }
}

function open(request, member) {
  const [path, name] = request.target.split('?', 2);
  if (!path.startsWith('/rooms/')) return [];
  if (!name) return [respond(400, 'Who are you? /rooms/ROOM?NAME\n')];
  const room = path.slice('/rooms/'.length);
  Object.assign(member, { room, name, said: 0 });
  return [
    { tag: 'accept', val: { fields: [] } },
    { tag: 'subscribe', val: room },
    say(room, `${name} joined`),
  ];
}

function hear(line, member) {
  switch (line) {
    case '/bye':
      return [close(1000, 'bye')];
    case '/crash':
      throw new Error('the chat crashed');
    case '/flood':
      return new Array(1025).fill({ tag: 'send', val: text('!') });
    default:
      member.said += 1;
      return [say(member.room, `${member.name} (${member.said}): ${line}`)];
  }
}

function text(val) {
  return { tag: 'text', val };
}

function say(channel, line) {
  return { tag: 'publish', val: { channel, message: text(line) } };
}

function close(code, reason) {
  return { tag: 'close', val: { code, reason } };
}

function respond(status, body) {
  const fields = [['Content-Type', encode('text/plain; charset=utf-8')]];
  return { tag: 'respond', val: { head: { status, fields }, body: encode(body) } };
}
