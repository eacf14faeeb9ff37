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
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Which start of the server this is: runners know it, others do not.
local function server_run(given)
  if given and given ~= '' then
    return given
  end
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

local function new_epoch(run)
  return string.sub(redis.sha1hex(meta .. run .. digits(now)), 1, 16)
end

local function save(state)
  local numbers = { 'offset', 'count', 'seconds', 'bytes', 'ttl', 'total', 'low', 'tidied' }
  for at, name in ipairs(numbers) do
    numbers[at] = digits(state[name])
  end
  redis.call('SET', meta, state.epoch .. ' ' .. state.run .. ' ' .. table.concat(numbers, ' '), 'PX', digits(state.ttl))
end

-- Where the topic stands; nil if it has no history. Redis may have lost its latest writes when it starts, or when another
-- server takes over, and what has been announced must not be announced again with other content: a new epoch begins.
local function standing(run)
  local epoch, known_run, offset, count, seconds, bytes, ttl, total, low, tidied = string.match(redis.call('GET', meta) or
    '', '^(%x+) (%x+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not epoch then
    return nil
  end
  local state = {
    epoch = epoch,
    run = run,
    offset = tonumber(offset),
    count = tonumber(count),
    seconds = tonumber(seconds),
    bytes = tonumber(bytes),
    ttl = tonumber(ttl),
    total = tonumber(total),
    low = tonumber(low),
    tidied = tonumber(tidied),
  }
  if known_run ~= run then
    state.epoch = new_epoch(run)
    save(state)
  end
  return state
end

local function drop_old(state)
  redis.call('XTRIM', stream, 'MINID', digits(now - state.seconds * 1000000))
end

-- Drops what is too old, now and then: who reads does it, too.
local function tidy(state)
  if now - state.tidied < state.seconds * 125000 then
    return
  end
  state.tidied = now
  drop_old(state)
  redis.call('PEXPIRE', stream, digits(state.seconds * 1250))
end

-- Removes the oldest until the rest is within the limit on bytes. `total` counts the bytes of all publications so far,
-- the third word of each entry those before it, and `low` those before the oldest, as far as is known.
local function drop_excess(state)
  while state.total - state.low > state.bytes do
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    local from = oldest and string.match(oldest[2][2], '^%S+ %d+ (%d+)')
    state.low = tonumber(from) or state.total
    if oldest and state.total - state.low > state.bytes then
      redis.call('XDEL', stream, oldest[1])
      state.low = state.low + #(oldest[2][4] or '')
    end
  end
end

local function append(state, head, data)
  -- `~`: whole nodes only, of 4 KiB. Readers count for themselves.
  return redis.pcall('XADD', stream, 'MAXLEN', '~', state.count, digits(state.offset) .. '-0', 'head', head, 'data', data)
end

-- Adds to history, and answers with the position.
local function remember(state, kind, data, origin)
  state.previous = state.offset
  -- The offset is the time, so that age is a range of offsets.
  state.offset = math.max(now, state.offset + 1)
  local head = kind .. ' ' .. digits(state.previous) .. ' ' .. digits(state.total) .. origin
  local added = append(state, head, data)
  if type(added) == 'table' and added.err then
    -- The stream is not ours, or was added to by something else.
    redis.call('DEL', stream)
    state.epoch = new_epoch(state.run)
    append(state, head, data)
  end
  state.total = state.total + #data
  tidy(state)
  drop_excess(state)
  save(state)
  return state.epoch .. '-' .. digits(state.offset)
end

local operations = {}

-- publish KIND DATA [RUN RUNNER NUMBER]
function operations.publish(kind, data, given, runner, number)
  local origin, seen = '', nil
  if runner then
    origin = ' ' .. runner .. ' ' .. number
    seen = prefix .. 'seen:{' .. topic .. '}:' .. runner
    local last, position = string.match(redis.call('GET', seen) or '', '^(%d+) ?(.*)$')
    if last and tonumber(last) >= tonumber(number) then
      return last == number and position ~= '' and position
    end
  end
  local state = standing(server_run(given))
  local position = state and remember(state, kind, data, origin)
  if seen then
    redis.call('SET', seen, number .. ' ' .. (position or ''), 'PX', SEEN)
  end
  local place = ''
  if position then
    place = ' ' .. position .. ' ' .. digits(state.previous)
  elseif runner then
    place = ' - -'
  end
  redis.call('PUBLISH', live, kind .. place .. origin .. '\n' .. data)
  return position or false
end

-- keep RUN COUNT SECONDS BYTES TTL
function operations.keep(run, count, seconds, bytes, ttl)
  local state = standing(run)
  if not state then
    redis.call('DEL', meta, stream)
    state = { epoch = new_epoch(run), run = run, offset = 0, count = 0, seconds = 0, total = 0, low = 0, tidied = 0 }
  end
  state.count = math.max(tonumber(count), state.count)
  state.seconds = math.max(tonumber(seconds), state.seconds)
  state.bytes = tonumber(bytes)
  state.ttl = tonumber(ttl)
  tidy(state)
  redis.call('PEXPIRE', stream, digits(state.seconds * 1250))
  save(state)
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
      bytes = bytes - #(entry[2][4] or '')
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
