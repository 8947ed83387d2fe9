-- Writes many users' interests, each only if the stored (generation, version) is not newer. Returns how many were written.
--
-- KEYS   n users' hashes, then the recommendation keys of the users that have a recommendation or are erased
-- ARGV   generation, updated_at, model, ttl, ttl of erased users, n, blob, mode, then the recommendations
-- blob   for each user: flag (0 plain, 1 recommendation, 2 erased), version, event_ts, events, lengths of topics and
--        windows, four vectors, topics, windows; see interest_blob.py
--
-- mode   write: also over the same version. fill: only where Redis lacks the user, or has an older version or another
--        model's vectors. look: writes nothing, and counts what fill would write.
--
-- One blob instead of an argument for each field: the client packs it in compiled code.
local generation, updated_at, model = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local ttl, erased_ttl, users, blob, mode = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local next_key, next_recommendation, at, written = users, 8, 1, 0

for i = 1, users do
  local key = KEYS[i]
  local flag, version, event_ts, events, topics_length, windows_length, vectors =
    struct.unpack('<BdddI4I4', blob, at)
  local topics = vectors + VECTORS_BYTES
  local windows = topics + topics_length
  at = windows + windows_length
  local recommendation_key, recommendation
  if flag > 0 then
    next_key = next_key + 1
    recommendation_key = KEYS[next_key]
  end
  if flag == 1 then
    next_recommendation = next_recommendation + 1
    recommendation = ARGV[next_recommendation]
  end

  local stored = redis.call('HMGET', key, 'generation', 'version', 'model')
  local stored_generation, stored_version = tonumber(stored[1]) or -1, tonumber(stored[2]) or -1
  local newer = generation > stored_generation or (generation == stored_generation and version > stored_version)
  local same = generation == stored_generation and version == stored_version
  if newer or (same and (mode == 'write' or (flag ~= 2 and model ~= stored[3]))) then
    written = written + 1
    if mode == 'look' then
      -- counted
    elseif flag == 2 then
      redis.call('DEL', key)
      redis.call('HSET', key, 'generation', generation, 'version', version)
      redis.call('EXPIRE', key, erased_ttl)
      redis.call('DEL', recommendation_key)
    else
      redis.call('HSET', key,
        'vector', blob:sub(vectors, vectors + VECTOR_BYTES - 1),
        'behaviour', blob:sub(vectors + VECTOR_BYTES, vectors + 2 * VECTOR_BYTES - 1),
        'social', blob:sub(vectors + 2 * VECTOR_BYTES, vectors + 3 * VECTOR_BYTES - 1),
        'content', blob:sub(vectors + 3 * VECTOR_BYTES, topics - 1),
        'topics', blob:sub(topics, windows - 1),
        'windows', blob:sub(windows, at - 1),
        'updated_at', updated_at, 'event_ts', event_ts, 'events', events,
        'generation', generation, 'version', version, 'model', model)
      redis.call('EXPIRE', key, ttl)
      if recommendation then
        redis.call('SET', recommendation_key, recommendation, 'EX', ttl)
      end
    end
  end
end
return written
