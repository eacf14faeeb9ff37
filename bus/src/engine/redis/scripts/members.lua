-- What is done to the members of topics in Redis, each as one step. The layout is described in docs/design/engines.md.
--
-- KEYS[1] is PREFIX:1:runners, ARGV[1] the operation.

local runners = KEYS[1]
local prefix = string.sub(runners, 1, -#'runners' - 1)

-- The most members of runners whose lease has ended that one call removes.
local SWEPT = 500

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function is_alive(runner)
  local lease = redis.call('ZSCORE', runners, runner)
  return lease and tonumber(lease) > now()
end

-- The members of a topic that are of one runner: its numbers for them, and what they say of themselves.
local function members_key(topic, runner)
  return prefix .. 'members:{' .. topic .. '}:' .. runner
end

-- The runners that have members of a topic.
local function homes_key(topic)
  return prefix .. 'homes:{' .. topic .. '}'
end

-- The topics that a runner has members of.
local function topics_key(runner)
  return prefix .. 'runner:' .. runner
end

local function tell(topic, change, runner, number, info)
  redis.call('PUBLISH', prefix .. 'live:' .. topic, change .. ' ' .. runner .. ' ' .. number .. '\n' .. info)
end

local function forget_if_empty(topic, runner)
  if redis.call('EXISTS', members_key(topic, runner)) == 0 then
    redis.call('SREM', homes_key(topic), runner)
    redis.call('SREM', topics_key(runner), topic)
  end
end

-- Removes members of a runner that is gone, at most `most`; answers how many.
local function remove(topic, runner, most)
  local members = members_key(topic, runner)
  local found = redis.call('HRANDFIELD', members, most, 'WITHVALUES')
  for at = 1, #found, 2 do
    redis.call('HDEL', members, found[at])
    tell(topic, 'left', runner, found[at], found[at + 1])
  end
  forget_if_empty(topic, runner)
  return #found / 2
end

-- Removes what is left of runners whose lease has ended; answers whether there may be more.
local function sweep()
  local left = SWEPT
  while left > 0 do
    local gone = redis.call('ZRANGEBYSCORE', runners, '-inf', now(), 'LIMIT', 0, 1)[1]
    if not gone then
      return 0
    end
    local topic = redis.call('SRANDMEMBER', topics_key(gone))
    if topic then
      left = left - 1 - remove(topic, gone, left)
    else
      redis.call('ZREM', runners, gone)
    end
  end
  return 1
end

local operations = {}

-- enter RUNNER NUMBER TOPIC INFO
function operations.enter(runner, number, topic, info)
  if not is_alive(runner) then
    return redis.error_reply('LEASE had ended')
  end
  local members = members_key(topic, runner)
  local before = redis.call('HGET', members, number)
  redis.call('HSET', members, number, info)
  redis.call('SADD', homes_key(topic), runner)
  redis.call('SADD', topics_key(runner), topic)
  if before ~= info then
    tell(topic, 'joined', runner, number, info)
  end
end

-- leave RUNNER NUMBER TOPIC
function operations.leave(runner, number, topic)
  local members = members_key(topic, runner)
  local info = redis.call('HGET', members, number)
  if info then
    redis.call('HDEL', members, number)
    forget_if_empty(topic, runner)
    tell(topic, 'left', runner, number, info)
  end
end

-- list TOPIC MOST
function operations.list(topic, most)
  local count, listed = 0, {}
  for _, runner in ipairs(redis.call('SMEMBERS', homes_key(topic))) do
    local members = members_key(topic, runner)
    if is_alive(runner) then
      count = count + redis.call('HLEN', members)
      local left = most - #listed / 3
      local found = left > 0 and redis.call('HRANDFIELD', members, left, 'WITHVALUES') or {}
      for at = 1, #found, 2 do
        listed[#listed + 1] = runner
        listed[#listed + 1] = found[at]
        listed[#listed + 1] = found[at + 1]
      end
    elseif not redis.call('ZSCORE', runners, runner) then
      -- Redis has lost the lease: no sweep would find its members.
      remove(topic, runner, SWEPT)
    end
  end
  return { count, listed }
end

-- connect RUNNER MILLISECONDS: a lease, whether it has had one or not.
function operations.connect(runner, milliseconds)
  redis.call('ZADD', runners, now() + milliseconds, runner)
  return sweep()
end

-- renew RUNNER MILLISECONDS: also a lease that has ended, with an error, since members may have been removed.
function operations.renew(runner, milliseconds)
  local was_alive = is_alive(runner)
  local more = operations.connect(runner, milliseconds)
  return was_alive and more or redis.error_reply('LEASE had ended')
end

return operations[ARGV[1]](unpack(ARGV, 2))
