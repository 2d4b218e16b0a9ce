-- Adds to a number. KEYS: values, order, counters. ARGV: bytes and keys at most, key, what to add.
local key = ARGV[3]
local old = redis.call('HGET', KEYS[1], key)
if old and old ~= '0' and not (#old <= 19 and string.match(old, '^[1-9]%d*$')) then return {'number', ''} end
local bytes = tonumber(redis.call('HGET', KEYS[3], 'bytes') or '0')
local keys = redis.call('HLEN', KEYS[1])
-- Numbers of this language are too short for the sum: the server adds, and what must not be is taken back.
local added = redis.pcall('HINCRBY', KEYS[1], key, ARGV[4])
if type(added) == 'table' then
  return {string.find(added.err, 'overflow') and 'overflow' or 'number', ''}
end
local sum = redis.call('HGET', KEYS[1], key)
local growth = #sum - (old and #old or -#key)
local full
if growth > 0 and bytes + growth > tonumber(ARGV[1]) then
  full = 'bytes'
elseif not old and keys + 1 > tonumber(ARGV[2]) then
  full = 'keys'
end
if full then
  if old then redis.call('HSET', KEYS[1], key, old) else redis.call('HDEL', KEYS[1], key) end
  return {full, ''}
end
if not old then redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[3], 'places', 1), key) end
redis.call('HSET', KEYS[3], 'bytes', string.format('%.0f', bytes + growth))
return {'ok', sum}
