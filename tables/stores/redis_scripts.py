"""The Lua scripts of the Redis table store. A stored value is its source offset, 8 bytes big endian, and the value.

Every script first makes sure that the partition's state is still what its owner left there. It must be made for the
same broker, and its changelog offset must not have gone back. A Redis that was emptied, or restored from an old copy,
lacks writes that were acknowledged.
"""

from typing import Final

from streams.redis_link import Script

LOST: Final = b"lost"

_IS_LOST: Final = """
local stored = redis.call('HMGET', KEYS[1], 'cluster', 'offset', 'restore')
local is_lost = stored[1] ~= ARGV[1] or not stored[2] or tonumber(stored[2]) < tonumber(ARGV[2])
"""

# KEYS: meta, market. ARGV: cluster, changelog offset known to be stored.
LOAD: Final = Script(f"""{_IS_LOST}
if is_lost then return 'lost' end
return redis.call('HGETALL', KEYS[2])
""")

# KEYS: meta, markets. ARGV: cluster, changelog offset known to be stored.
MARKETS: Final = Script(f"""{_IS_LOST}
if is_lost then return 'lost' end
return redis.call('SMEMBERS', KEYS[2])
""")

# KEYS: meta, markets, then one per market. ARGV: cluster, changelog offset known to be stored, changelog offset reached
# with these values ("" where more follow), and a restore's token ("" unless it found nothing). Then for each market
# follow its name and the number of its values, and for each value field, source offset and stored value. Of two values
# of a field the one with the higher source offset stays. Where an older one was not taken, no offset is stored. Returns
# how many were not taken, and the changelog offset stored, if any was.
SAVE: Final = Script(f"""{_IS_LOST}
if is_lost and (ARGV[4] == '' or stored[3] ~= ARGV[4]) then return 'lost' end
local at = 5
local refused = 0
for i = 3, #KEYS do
  redis.call('SADD', KEYS[2], ARGV[at])
  local last = at + 1 + 3 * ARGV[at + 1]
  for item = at + 2, last, 3 do
    local old = redis.call('HGET', KEYS[i], ARGV[item])
    if not old or struct.unpack('>i8', old) <= tonumber(ARGV[item + 1]) then
      redis.call('HSET', KEYS[i], ARGV[item], ARGV[item + 2])
    else
      refused = refused + 1
    end
  end
  at = last + 1
end
local reached = tonumber(ARGV[3])
if not reached or refused > 0 then return {{refused}} end
if stored[2] then reached = math.max(reached, tonumber(stored[2])) end
redis.call('HSET', KEYS[1], 'cluster', ARGV[1], 'offset', string.format('%.0f', reached))
redis.call('HDEL', KEYS[1], 'restore')
return {{refused, reached}}
""")
