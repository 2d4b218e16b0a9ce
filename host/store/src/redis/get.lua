-- Values, unless they are too large together. KEYS: values. ARGV: bytes at most, then keys.
local bytes = 0
for i = 2, #ARGV do bytes = bytes + redis.call('HSTRLEN', KEYS[1], ARGV[i]) end
if bytes > tonumber(ARGV[1]) then return false end
return redis.call('HMGET', KEYS[1], unpack(ARGV, 2))
