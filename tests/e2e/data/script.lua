-- strings, tables, closures, coroutines and files
for i, a in ipairs(arg) do print(i, a) end
local words = {}
for w in ("the quick brown fox jumps over the lazy dog the end"):gmatch("%a+") do words[w] = (words[w] or 0) + 1 end
local keys = {}
for k in pairs(words) do keys[#keys + 1] = k end
table.sort(keys)
for _, k in ipairs(keys) do io.write(k, "=", words[k], " ") end
print()
local gen = coroutine.wrap(function() for i = 1, 5 do coroutine.yield(i * i) end end)
for _ = 1, 5 do io.write(gen(), " ") end
print()
local f = assert(io.open("/tmp/lua-out", "w"))
f:write(("x"):rep(100000))
f:close()
print(#io.open("/tmp/lua-out"):read("a"))
print((pcall(function() error({ code = 5 }) end)))
print(string.format("%.14g %5d %q", math.pi, 42, "a\nb"), 7 // 2, 7 % -3, 2 ^ 0.5)
print(select("#", table.unpack({ 1, nil, 3 }, 1, 3)), os.time({ year = 2000, month = 1, day = 1, hour = 12 }) > 0)
