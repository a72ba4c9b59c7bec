"""What runs inside Valkey: the one place where all nodes meet, so each script is one step.

Keys (all under ``storm:presence:``):

- ``channel:<id>``  HASH user → the lives that hold it, with a space between two
- ``life:<life>``   SET of ``<channel> <user>``: what that life holds, to undo it when it dies
- ``lives``         ZSET life → when its lease ends (milliseconds)
- ``sessions``      HASH life → which of its sessions may write (see ``BEGIN``)
- ``changed``       ZSET channel → the clock when somebody came or went
- ``clock``         the last stamp; never goes back, never stands still

All times are the server's: clocks of nodes may differ as they like.
"""

from storm_gateway.redis_link import Script

_COMMON = """
local P = 'storm:presence:'
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function text(n) return string.format('%.0f', n) end

local function clock() return tonumber(redis.call('GET', P .. 'clock') or '0') end

local stamp
local function changed(channel)
  if not stamp then
    stamp = text(math.max(now, clock() + 1))
    redis.call('SET', P .. 'clock', stamp)
  end
  redis.call('ZADD', P .. 'changed', stamp, channel)
end

local function holds(lives, life)
  return (' ' .. lives .. ' '):find(' ' .. life .. ' ', 1, true)
end

local function release(channel, user, life)
  local key = P .. 'channel:' .. channel
  local lives = redis.call('HGET', key, user)
  if not lives then return end
  if lives == life then
    redis.call('HDEL', key, user)
    changed(channel)
  elseif holds(lives, life) then
    local rest = {}
    for other in lives:gmatch('%S+') do
      if other ~= life then rest[#rest + 1] = other end
    end
    redis.call('HSET', key, user, table.concat(rest, ' '))
  end
end

local function may_write(life, session)
  local ends = redis.call('ZSCORE', P .. 'lives', life)
  return ends and tonumber(ends) > now and redis.call('HGET', P .. 'sessions', life) == session
end
"""

BEGIN = Script(
    _COMMON
    + """
-- ARGV: life, session, lease. A session ends the one before: what an earlier connection left in
-- some buffer, and what runs late for that, is refused.
redis.call('ZADD', P .. 'lives', text(now + ARGV[3]), ARGV[1])
redis.call('HSET', P .. 'sessions', ARGV[1], ARGV[2])
return text(clock())
"""
)
"""A life (again) has a lease. Returns the clock."""

HELD = Script(
    """
-- ARGV: life, cursor
local found = redis.call('SSCAN', 'storm:presence:life:' .. ARGV[1], ARGV[2], 'COUNT', 2000)
return {found[1], table.concat(found[2], '\\n')}
"""
)
"""A part of what a life holds: the next cursor, and ``<channel> <user>`` lines."""

APPLY = Script(
    _COMMON
    + """
-- ARGV: life, session, lines of '<channel> +<user> -<user> …'
local life = ARGV[1]
if not may_write(life, ARGV[2]) then return 0 end
local mine = P .. 'life:' .. life
for channel, users in ARGV[3]:gmatch('(%d+)([^\\n]*)\\n') do
  local key = P .. 'channel:' .. channel
  for sign, user in users:gmatch(' ([+-])(%S+)') do
    local entry = channel .. ' ' .. user
    if sign == '+' then
      redis.call('SADD', mine, entry)
      local lives = redis.call('HGET', key, user)
      if not lives then
        redis.call('HSET', key, user, life)
        changed(channel)
      elseif not holds(lives, life) then
        redis.call('HSET', key, user, lives .. ' ' .. life)
      end
    else
      redis.call('SREM', mine, entry)
      release(channel, user, life)
    end
  end
end
return 1
"""
)
"""Who came to and left a life. Each operation may be done again. Returns 0 when the life has no
lease any more, or another session.
"""

POLL = Script(
    _COMMON
    + """
-- ARGV: life, session, last clock seen, lease or 0, how long changes are kept, entries to reap,
--       channels to tell at most
local life, last, lease = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
if not may_write(life, ARGV[2]) then return {0} end
local entries = -1
if lease > 0 then
  redis.call('ZADD', P .. 'lives', text(now + lease), life)
  redis.call('ZREMRANGEBYSCORE', P .. 'changed', '-inf', text(now - ARGV[5]))
  entries = redis.call('SCARD', P .. 'life:' .. life)
end
local more = 0
local dead = redis.call('ZRANGEBYSCORE', P .. 'lives', '-inf', text(now), 'LIMIT', 0, 1)[1]
if dead then
  more = 1
  local gone = redis.call('SPOP', P .. 'life:' .. dead, ARGV[6])
  for _, entry in ipairs(gone) do
    local channel, user = entry:match('(%d+) (%S+)')
    release(channel, user, dead)
  end
  if #gone < tonumber(ARGV[6]) then
    redis.call('DEL', P .. 'life:' .. dead)
    redis.call('ZREM', P .. 'lives', dead)
    redis.call('HDEL', P .. 'sessions', dead)
  end
end
local seen = clock()
local channels = '*'
if last >= now - ARGV[5] / 2 or last == seen then
  local found = redis.call(
    'ZRANGEBYSCORE', P .. 'changed', '(' .. text(last), '+inf', 'LIMIT', 0, ARGV[7])
  if #found < tonumber(ARGV[7]) then channels = table.concat(found, ' ') end
end
return {1, text(seen), entries, more, channels}
"""
)
"""Once an interval for each node: keeps its lease, ends a dead one, and tells what changed.

Returns ``{0}`` for a life without lease, else 1, the clock, the life's entries (-1: not counted),
whether there is more to end, and the changed channels (``*``: too many, or too long ago).
"""

READ = Script(
    """
-- ARGV: life, names at most, channels
local P = 'storm:presence:channel:'
local life, most = ARGV[1], tonumber(ARGV[2])
local lines = {}
for channel in ARGV[3]:gmatch('%d+') do
  local key = P .. channel
  local count = redis.call('HLEN', key)
  local line = {channel, tostring(count), '*'}
  if count <= most then
    line[3] = '='
    local found = redis.call('HGETALL', key)
    for n = 1, #found, 2 do
      if found[n + 1] ~= life then line[#line + 1] = found[n] end
    end
  end
  lines[#lines + 1] = table.concat(line, ' ')
end
return table.concat(lines, '\\n')
"""
)
"""Who is in channels: lines of ``<channel> <online> = <users that other lives hold …>``, with
``*`` for ``=`` and no names in a crowd.
"""

END = Script(
    _COMMON
    + """
-- ARGV: life, session, time that is left
if may_write(ARGV[1], ARGV[2]) then
  local ends = math.min(tonumber(redis.call('ZSCORE', P .. 'lives', ARGV[1])), now + ARGV[3])
  redis.call('ZADD', P .. 'lives', text(ends), ARGV[1])
  redis.call('HDEL', P .. 'sessions', ARGV[1])
end
return 1
"""
)
"""A life ends by itself: what it holds stays for the grace, for users that come back elsewhere."""
