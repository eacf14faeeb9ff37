-- What is done to a topic in Redis, each as one step. The layout is described in docs/design/engines.md.
--
-- KEYS[1] is PREFIX:1:meta:{TOPIC}, ARGV[1] the operation. Anything that can run a script may publish with it, and gets
-- the position in the answer, or nothing if the topic has no history:
--
--   redis-cli --eval topic.lua 'wasocket:1:meta:{room}' , publish text hello

local meta = KEYS[1]
local prefix, topic = string.match(meta, '^(.-:1:)meta:{(.*)}$')
local stream = prefix .. 'stream:{' .. topic .. '}'
local live = prefix .. 'live:' .. topic

-- How long the last number of a runner is remembered, in milliseconds. A runner whose connection is lost repeats what was
-- not confirmed: within seconds, unless Redis stays away.
local SEEN = 6 * 60 * 60 * 1000

-- How many entries of history are read at once.
local PAGE = 16

-- Lua would write large numbers with an exponent.
local function digits(number)
  return string.format('%.0f', number)
end

-- Microseconds since 1970, exact in a Lua number until 2255.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Which start of the server this is: runners know it, others do not.
local function server_run(given)
  if given and given ~= '' then
    return given
  end
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

local function new_epoch(run)
  return string.sub(redis.sha1hex(meta .. run .. digits(now())), 1, 16)
end

-- Where the topic stands; nil if it has no history. Redis may have lost its latest writes when it starts, or when another
-- server takes over, and what has been announced must not be announced again with other content: a new epoch begins.
local function standing(run)
  local values = redis.call('HMGET', meta, 'epoch', 'offset', 'run', 'count', 'seconds', 'bytes', 'ttl', 'total', 'low')
  local state = {
    epoch = values[1],
    offset = tonumber(values[2]),
    run = values[3],
    count = tonumber(values[4]),
    seconds = tonumber(values[5]),
    bytes = tonumber(values[6]),
    ttl = tonumber(values[7]),
    total = tonumber(values[8]),
    low = tonumber(values[9]),
  }
  for _, name in ipairs({ 'epoch', 'offset', 'run', 'count', 'seconds', 'bytes', 'ttl', 'total', 'low' }) do
    if not state[name] then
      return nil
    end
  end
  if state.run ~= run then
    state.epoch = new_epoch(run)
    redis.call('HSET', meta, 'epoch', state.epoch, 'run', run)
  end
  return state
end

local function drop_old(state)
  redis.call('XTRIM', stream, 'MINID', digits(now() - state.seconds * 1000000))
end

-- Removes the oldest until the rest is within the limit on bytes. `total` counts the bytes of all publications so far,
-- each entry's `from` those before it, and `low` those before the oldest, as far as is known.
local function drop_excess(state)
  while state.total - state.low > state.bytes do
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    state.low = oldest and tonumber(oldest[2][8]) or state.total
    if oldest and state.total - state.low > state.bytes then
      redis.call('XDEL', stream, oldest[1])
      state.low = state.low + #(oldest[2][10] or '')
    end
  end
end

local function append(state, kind, data, origin)
  local id = digits(state.offset) .. '-0'
  local from = digits(state.total)
  return redis.pcall('XADD', stream, 'MAXLEN', state.count, id, 'kind', kind, 'previous', digits(state.previous),
    'origin', origin, 'from', from, 'data', data)
end

-- Adds to history, and answers with the position.
local function remember(state, run, kind, data, origin)
  state.previous = state.offset
  -- The offset is the time, so that age is a range of offsets.
  state.offset = math.max(now(), state.offset + 1)
  local added = append(state, kind, data, origin)
  if type(added) == 'table' and added.err then
    -- The stream is not ours, or was added to by something else.
    redis.call('DEL', stream)
    state.epoch = new_epoch(run)
    append(state, kind, data, origin)
  end
  state.total = state.total + #data
  drop_old(state)
  drop_excess(state)
  redis.call('HSET', meta, 'epoch', state.epoch, 'offset', digits(state.offset), 'total', digits(state.total), 'low',
    digits(state.low))
  redis.call('PEXPIRE', stream, digits(state.seconds * 1000))
  redis.call('PEXPIRE', meta, digits(state.ttl))
  return state.epoch .. '-' .. digits(state.offset)
end

-- The line before the bytes of a publication.
local function header(kind, position, state, origin)
  local words = { kind }
  if position then
    words = { kind, position, digits(state.previous) }
  elseif origin ~= '' then
    words = { kind, '-', '-' }
  end
  words[#words + 1] = origin ~= '' and origin or nil
  return table.concat(words, ' ')
end

local operations = {}

-- publish KIND DATA [RUN RUNNER NUMBER]
function operations.publish(kind, data, given, runner, number)
  local origin, seen = '', nil
  if runner then
    origin = runner .. ' ' .. number
    seen = prefix .. 'seen:{' .. topic .. '}:' .. runner
    local last, position = string.match(redis.call('GET', seen) or '', '^(%d+) ?(.*)$')
    if last and tonumber(last) >= tonumber(number) then
      return last == number and position ~= '' and position
    end
  end
  local run = server_run(given)
  local state = standing(run)
  local position = state and remember(state, run, kind, data, origin)
  if seen then
    redis.call('SET', seen, number .. ' ' .. (position or ''), 'PX', SEEN)
  end
  redis.call('PUBLISH', live, header(kind, position, state, origin) .. '\n' .. data)
  return position or false
end

-- keep RUN COUNT SECONDS BYTES TTL
function operations.keep(run, count, seconds, bytes, ttl)
  local state = standing(run)
  if not state then
    redis.call('DEL', meta, stream)
    redis.call('HSET', meta, 'epoch', new_epoch(run), 'offset', 0, 'run', run, 'total', 0, 'low', 0)
    state = { count = 0, seconds = 0 }
  end
  seconds = math.max(tonumber(seconds), state.seconds)
  redis.call('HSET', meta, 'count', math.max(tonumber(count), state.count), 'seconds', seconds, 'bytes', bytes,
    'ttl', ttl)
  redis.call('PEXPIRE', meta, ttl)
  redis.call('PEXPIRE', stream, digits(seconds * 1000))
end

-- history RUN BYTES now | last COUNT | after EPOCH OFFSET
function operations.history(run, bytes, start, argument, offset)
  local state = standing(run)
  if not state then
    return false
  end
  drop_old(state)
  local bottom, left, entries = '-', state.count, {}
  if start == 'last' then
    left = math.min(left, tonumber(argument))
  elseif start == 'after' and argument == state.epoch then
    bottom = '(' .. offset .. '-0'
  else
    left = 0
  end
  local top, is_whole = '+', 1
  while left > 0 do
    local page = redis.call('XREVRANGE', stream, top, bottom, 'COUNT', math.min(left, PAGE))
    if #page == 0 then
      break
    end
    for _, entry in ipairs(page) do
      bytes = bytes - #(entry[2][10] or '')
      if bytes < 0 then
        left, is_whole = 0, 0
        break
      end
      entries[#entries + 1] = entry
      left = left - 1
    end
    top = '(' .. page[#page][1]
  end
  return { state.epoch, digits(state.offset), is_whole, entries }
end

return operations[ARGV[1]](unpack(ARGV, 2))
