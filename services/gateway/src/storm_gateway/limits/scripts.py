"""What limits run inside Valkey.

Keys (all under ``storm:limits:``):

- ``lives``               ZSET life → when its lease ends (milliseconds)
- ``session:<life>``      which of its sessions may write (see ``BEGIN``)
- ``connections:<life>``  HASH user → connections on that node
- ``ticket:<digest>``     the life that accepted this ticket
- ``bucket:<name>``       when the bucket will be full again (microseconds)

All but ``lives`` end by themselves. All times are the server's.
"""

from storm_gateway.redis_link import Script

_COMMON = """
local P = 'storm:limits:'
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local life, session, lease = ARGV[1], ARGV[2], ARGV[3]
local mine = P .. 'connections:' .. life
local function renew()
  redis.call('ZADD', P .. 'lives', text(now + lease), life)
  redis.call('SET', P .. 'session:' .. life, session, 'PX', lease)
  redis.call('PEXPIRE', mine, lease)
end
"""

BEGIN = Script(
    _COMMON
    + """
-- ARGV: life, session, lease. The counts are written anew; late writes of the session before are
-- refused.
redis.call('DEL', mine)
renew()
return 1
"""
)

APPLY = Script(
    _COMMON
    + """
-- ARGV: life, session, lease, connections at most (0: no limit), life of a ticket, lines of
-- '<user> <settled> <ticket or -> …': connections that may stay, and a ticket for each new one
if redis.call('GET', P .. 'session:' .. life) ~= session then return false end
local most = tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', P .. 'lives', '-inf', text(now))
local others = {}
for _, other in ipairs(redis.call('ZRANGE', P .. 'lives', 0, -1)) do
  if other ~= life then others[#others + 1] = P .. 'connections:' .. other end
end
local said = {}
for user, settled, new in ARGV[6]:gmatch('(%S+) (%d+)([^\\n]*)\\n') do
  local held = tonumber(settled)
  if new ~= '' then
    local elsewhere = 0
    if most > 0 then
      for _, key in ipairs(others) do
        elsewhere = elsewhere + (redis.call('HGET', key, user) or 0)
      end
    end
    for ticket in new:gmatch('%S+') do
      local used = false
      if ticket ~= '-' then
        local key = P .. 'ticket:' .. ticket
        used = not redis.call('SET', key, life, 'PX', ARGV[5], 'NX')
          -- Asked again after an answer that was lost: it is this node's own.
          and redis.call('GET', key) ~= life
      end
      if used then
        said[#said + 1] = 't'
      elseif most > 0 and elsewhere + held >= most then
        said[#said + 1] = 'n'
      else
        held = held + 1
        said[#said + 1] = 'y'
      end
    end
  end
  if held > 0 then
    redis.call('HSET', mine, user, held)
  else
    redis.call('HDEL', mine, user)
  end
end
renew()
return table.concat(said)
"""
)
"""Counts of some users; a letter for each new connection, in order: y stays, n too many, t its
ticket was used. ``nil``: the life has no lease any more, or another session.
"""

END = Script(
    _COMMON
    + """
-- ARGV: life, session, lease
if redis.call('GET', P .. 'session:' .. life) == session then
  redis.call('DEL', mine, P .. 'session:' .. life)
  redis.call('ZREM', P .. 'lives', life)
end
return 1
"""
)

TAKE = Script(
    """
-- ARGV: bucket, microseconds for one, microseconds for the burst
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local key = 'storm:limits:bucket:' .. ARGV[1]
local full = math.max(tonumber(redis.call('GET', key) or '0'), now) + ARGV[2]
local wait = full - now - ARGV[3]
if wait > 1 then return math.ceil(wait) end
redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return 0
"""
)
"""One from a bucket; microseconds to wait when there was none. As limits/buckets.py."""
