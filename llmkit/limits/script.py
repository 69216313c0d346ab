"""A bucket as a Lua script on one Redis hash: whatever a call does to it is one command.

In bucket.py the first of a queue takes its part when it goes. Here the first ones of many processes wait side by side,
so each takes its part when it comes, and waits until the debt that it has left is paid. What is noted of requests and
tokens is a time: `empty`, when nothing is, was or will be left. `moved` sums up the seconds by which all that wait have
moved up because of what was given back.
"""

SCRIPT = """
local ask = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local far = now + 86400 -- no time that we note is later

local names = {'born', 'paused'}
for i = 1, 2 do
    for _, name in ipairs({'empty', 'moved', 'others', 'told'}) do names[#names + 1] = name .. i end
end
local read = redis.pcall('HMGET', KEYS[1], unpack(names))
if read.err then -- no hash: not ours
    redis.call('DEL', KEYS[1])
    read = {}
end
local s = {}
for i, name in ipairs(names) do
    local value = tonumber(read[i] or nil)
    if value == value then s[name] = value end -- NaN is no number
end
if not (s.born and s.paused and s.paused < far) then s = {born = now, paused = now} end -- new, or damaged

local limit, empty, moved, others = {}, {}, {}, {}
for i = 1, 2 do
    s['told' .. i] = ask.told[i] or s['told' .. i]
    limit[i] = math.min(ask.limits[i] or math.huge, s['told' .. i] or math.huge)
    empty[i], moved[i], others[i] = s['empty' .. i], s['moved' .. i] or 0, s['others' .. i] or 0
    if not (empty[i] and empty[i] < far) then empty[i] = now - ask.burst end
end

local function never_more_than_full()
    for i = 1, 2 do empty[i] = math.max(empty[i], now - ask.burst) end
end

local function move_up(i, seconds)
    empty[i], moved[i] = empty[i] - seconds, moved[i] + seconds
end

never_more_than_full()
for i = 1, 2 do
    if ask.remaining[i] then empty[i] = math.max(empty[i], now - ask.remaining[i] * 60 / limit[i]) end
    local by_others = ask.born == s.born and ask.others[i] or 0
    if by_others >= others[i] + 1 then -- to 0 at the lowest
        empty[i] = math.min(empty[i] + (by_others - others[i]) * 60 / limit[i], math.max(empty[i], now))
        others[i] = by_others
    end
    move_up(i, ask.unused[i] * 60 / limit[i])
    for _, given_up in ipairs(ask.given_up) do -- moves up only those who came later: their places are now above `empty`
        if given_up.born == s.born then empty[i] = empty[i] - given_up.need[i] * 60 / limit[i] end
    end
end
if now + ask.pause > s.paused and ask.pause > 0 then
    for i = 1, 2 do move_up(i, math.max(s.paused, now) - now - ask.pause) end
    s.paused = now + ask.pause
end
never_more_than_full()

local due, held = math.max(now, s.paused), ask.held
local waits_already = held and held.born == s.born
for i = 1, 2 do
    if waits_already then
        due = math.max(due, math.min(held.places[i] - (moved[i] - held.moved[i]), empty[i]))
    else
        empty[i] = empty[i] + ask.need[i] * 60 / limit[i]
        due = math.max(due, empty[i])
    end
end

local written, longest = {'born', s.born, 'paused', s.paused}, 0
for i = 1, 2 do
    for name, value in pairs({empty = empty[i], moved = moved[i], others = others[i], told = s['told' .. i]}) do
        written[#written + 1] = name .. i
        written[#written + 1] = value
    end
    longest = math.max(longest, empty[i] - now)
end
for i = 2, #written, 2 do written[i] = string.format('%.17g', written[i]) end
redis.call('HSET', KEYS[1], unpack(written))
redis.call('EXPIRE', KEYS[1], math.ceil(math.min(longest, 86400) + ask.burst) + 3600)

local answer = {s.born, due - now}
for i = 1, 2 do
    local left = limit[i] < math.huge and math.min(ask.burst, due - empty[i]) * limit[i] / 60 or math.huge
    for _, value in ipairs({empty[i], moved[i], left, others[i]}) do answer[#answer + 1] = value end
end
for i, value in ipairs(answer) do answer[i] = string.format('%.17g', value) end
return answer
"""
