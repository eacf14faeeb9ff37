// A chat: everyone connected to /rooms/ROOM?NAME sees what the others say there, and who is there.
//
// A member's name and number of messages are the state of their connection. The room is a topic that keeps 50 messages.
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
    case 'subscribed':
      return [say(member.room, `${member.name} joined`), list(member.room)];
    // In a room of thousands one would send the change, not the list.
    case 'joined':
    case 'left':
      return [list(val.topic)];
    case 'members':
      return [{ tag: 'send', val: text(`here: ${val.members.map(decode).join(', ')}`) }];
    case 'gap':
      return [{ tag: 'send', val: text('some messages may be missing here') }];
    case 'refused':
      return val.operation === 'subscribe' ? joinPlainly(member, val.reason) : [];
    default:
      return [];
  }
}

function open(request, member) {
  const [path, name] = request.target.split('?', 2);
  if (!path.startsWith('/rooms/')) return [];
  if (!name) return [respond(400, 'Who are you? /rooms/ROOM?NAME\n')];
  const room = path.slice('/rooms/'.length);
  Object.assign(member, { room, name, said: 0 });
  const subscription = {
    topic: room,
    start: { tag: 'last', val: 50 },
    keep: { count: 50, seconds: 86_400 },
    member: encode(name),
    watchMembers: true,
    receiver: 'peer',
  };
  return [{ tag: 'accept', val: { fields: [] } }, { tag: 'subscribe-with', val: subscription }];
}

// Not every place where an app runs has history and members: the messages alone will do.
function joinPlainly(member, reason) {
  if (member.plain) return [close(1013, reason)];
  member.plain = true;
  return [{ tag: 'subscribe', val: member.room }, say(member.room, `${member.name} joined`)];
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

function list(room) {
  return { tag: 'list-members', val: room };
}

function close(code, reason) {
  return { tag: 'close', val: { code, reason } };
}

function respond(status, body) {
  const fields = [['Content-Type', encode('text/plain; charset=utf-8')]];
  return { tag: 'respond', val: { head: { status, fields }, body: encode(body) } };
}
