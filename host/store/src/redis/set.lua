-- Sets pairs, all or none. KEYS: values, order, counters. ARGV: bytes and keys at most, then keys and values.
local bytes = tonumber(redis.call('HGET', KEYS[3], 'bytes') or '0')
local keys = redis.call('HLEN', KEYS[1])
local bytes_max, keys_max = math.max(tonumber(ARGV[1]), bytes), math.max(tonumber(ARGV[2]), keys)
local sizes = {}
for i = 3, #ARGV, 2 do
  local key, size = ARGV[i], #ARGV[i] + #ARGV[i + 1]
  local old = sizes[key]
  if not old and redis.call('HEXISTS', KEYS[1], key) == 1 then
    old = #key + redis.call('HSTRLEN', KEYS[1], key)
  elseif not old then
    old, keys = 0, keys + 1
  end
  bytes = bytes - old + size
  sizes[key] = size
end
if bytes > bytes_max then return {'bytes', ''} end
if keys > keys_max then return {'keys', ''} end
for i = 3, #ARGV, 2 do
  if redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('ZADD', KEYS[2], redis.call('HINCRBY', KEYS[3], 'places', 1), ARGV[i])
  end
end
redis.call('HSET', KEYS[3], 'bytes', string.format('%.0f', bytes))
return {'ok', ''}
