-- Removes pairs. KEYS: values, order, counters. ARGV: keys.
local bytes = tonumber(redis.call('HGET', KEYS[3], 'bytes') or '0')
for _, key in ipairs(ARGV) do
  local size = #key + redis.call('HSTRLEN', KEYS[1], key)
  if redis.call('HDEL', KEYS[1], key) == 1 then
    redis.call('ZREM', KEYS[2], key)
    bytes = bytes - size
  end
end
redis.call('HSET', KEYS[3], 'bytes', string.format('%.0f', bytes))
return {'ok', ''}
