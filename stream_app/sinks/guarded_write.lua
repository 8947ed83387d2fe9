-- Writes many users' interests, each only if the stored (generation, version) is not newer. Returns how many were written.
--
-- KEYS   n users' hashes, then the recommendation keys of the users that have a recommendation or are erased
-- ARGV   generation, updated_at, model, ttl, ttl of erased users, n, blob, mode, then the recommendations
-- blob   for each user: flag (0 plain, 1 recommendation, 2 erased), version, event_ts, events, lengths of topics and
--        windows, four vectors, topics, windows; see interest_blob.py
--
-- mode   write: also over the same version. fill: only where Redis lacks the user, or has an older version or another
--        model's vectors. look: writes nothing, and counts what fill would write. again: only over the same version, and
--        the key lives no longer for it.
--
-- One blob instead of an argument for each field: the client packs it in compiled code. Its structure is looked at
-- whole before anything is written: one that does not add up writes nothing.
local generation, updated_at, model = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local ttl, erased_ttl, users, blob, mode = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local HEAD, LARGEST = '<BI8I8I8I4I4', 2 ^ 53 - 1  -- Lua's numbers are exact up to there

local function damaged(what)
  return redis.error_reply('ERR the interests of ' .. users .. ' users are damaged: ' .. what)
end

local function known(text)  -- -1 where there is nothing, or what no worker wrote
  local number = tonumber(text)
  return number and number >= 0 and number <= LARGEST and number or -1
end

local at, named, told = 1, 0, 0
for i = 1, users do
  if at + HEAD_BYTES - 1 > #blob then
    return damaged('no. ' .. i .. ' is cut')
  end
  local flag, version, event_ts, events, topics_length, windows_length, vectors = struct.unpack(HEAD, blob, at)
  if flag > 2 or math.max(version, event_ts, events) > LARGEST then
    return damaged('no. ' .. i .. ' begins with no head')
  end
  at = vectors + VECTORS_BYTES + topics_length + windows_length
  named = named + (flag > 0 and 1 or 0)
  told = told + (flag == 1 and 1 or 0)
end
if at ~= #blob + 1 or #KEYS ~= users + named or #ARGV ~= 8 + told then
  return damaged(#blob .. ' bytes, ' .. #KEYS .. ' keys and ' .. #ARGV .. ' arguments do not fit together')
end

local next_key, next_recommendation, written = users, 8, 0
at = 1
for i = 1, users do
  local key = KEYS[i]
  local flag, version, event_ts, events, topics_length, windows_length, vectors = struct.unpack(HEAD, blob, at)
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
  local stored_generation, stored_version = known(stored[1]), known(stored[2])
  local newer = generation > stored_generation or (generation == stored_generation and version > stored_version)
  local same = generation == stored_generation and version == stored_version
  local due = newer or (same and (mode == 'write' or (flag ~= 2 and model ~= stored[3])))
  if mode == 'again' then
    due = same and flag == 0
  end
  if due then
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
      if mode ~= 'again' then
        redis.call('EXPIRE', key, ttl)
      end
      if recommendation then
        redis.call('SET', recommendation_key, recommendation, 'EX', ttl)
      end
    end
  end
end
return written
