-- What a test file has besides the library: describe, it, expect, and what stands in for the world.
local P = ...
local G, host, lib, world = P.globals, P.host, P.lib, P.world
local type, error, pairs, ipairs, next, tostring, getmetatable, setmetatable, rawequal, rawset =
  lib.type, lib.error, lib.pairs, ipairs, next, lib.tostring, lib.getmetatable, lib.setmetatable, G.rawequal, lib.rawset
local concat, sort, pack, unpack, math_type, insert = lib.concat, lib.sort, lib.pack, lib.unpack, lib.math_type, G.table.insert
local text, regex, pcall = P.api.text, P.api.regex, G.pcall

local T, offered = {}, {}
P.testing = T

-- A mistake of a declaration is the error of the line that makes it, so that a test can expect it.
function host.mistake(what, subject) error((subject and subject ~= "" and subject .. ": " or "") .. what, 0) end

local function hint(name, known)
  local names = {}
  for key in pairs(known) do names[#names + 1] = key end
  sort(names)
  local near = host.nearest(tostring(name), names)
  return near and (" (did you mean '%s'?)"):format(near) or ("; there is " .. concat(names, ", "))
end

-- Tests and the groups they are in.
local tests, names = {}, {}
local group = { name = "", before = {}, after = {} }
local running
T.tests = tests

local function only_outside(what)
  if running then error(what .. " stands outside of tests, at the top of the file or in a describe", 0) end
end

local function need(what, name, f)
  if type(name) ~= "string" or name == "" then error(what .. " needs a name first, got " .. P.describe(name), 0) end
  if f ~= nil and type(f) ~= "function" then error(("%s %q needs a function, got %s"):format(what, name, P.describe(f)), 0) end
end

local function path_of(at, name)
  local path = { name }
  while at.parent do
    insert(path, 1, at.name)
    at = at.parent
  end
  return path
end

local function add(what, name, body, skipped)
  only_outside(what)
  need(what, name, body)
  local path, place = path_of(group, name), host.place()
  local full = concat(path, " > ")
  if names[full] then error(("two tests are called %q: the first is at %s"):format(full, host.place_text(names[full])), 0) end
  names[full] = place
  tests[#tests + 1] = { path = path, full = full, place = place, body = body, group = group, skipped = skipped }
end

function offered.describe(name, body)
  only_outside("describe")
  need("describe", name, body)
  if body == nil then error(("describe %q needs a function"):format(name), 0) end
  local outer = group
  group = { name = name, parent = outer, before = {}, after = {} }
  local _ <close> = setmetatable({}, { __close = function() group = outer end })
  body()
end

offered.it = setmetatable({
  skip = function(name, body) add("it.skip", name, body, "skipped") end,
}, {
  __call = function(_, name, body) add("it", name, body, body == nil and "not written yet" or nil) end,
  __index = function(_, key) error(("there is no it.%s; there is it.skip"):format(tostring(key)), 0) end,
  __metatable = "host",
})

local function hook(what, list)
  return function(f)
    only_outside(what)
    if type(f) ~= "function" then error(what .. " needs a function, got " .. P.describe(f), 0) end
    list(group)[#list(group) + 1] = f
  end
end
offered.before_each = hook("before_each", function(at) return at.before end)
offered.after_each = hook("after_each", function(at) return at.after end)

-- Ends the test that asks for it; the report says why.
function offered.skip(why)
  if not running then error("skip is for the inside of a test", 0) end
  running.why = why == nil and "skipped" or tostring(why)
  error(running.why, 0)
end

-- Expectations.
local LONGEST = 300
local function shown(value)
  local record = P.records[value]
  local told = record and tostring(value) or text.repr(value)
  return #told > LONGEST and told:sub(1, LONGEST) .. "…" or told
end

local DEEPEST = 150
local function plain(value) return type(value) == "table" and not P.records[value] end

-- Where two values differ first: the way there and both values; nil if they are equal.
local function difference(a, b, way, depth, seen)
  if rawequal(a, b) then return nil end
  if not (plain(a) and plain(b)) then
    if a == b then return nil end
    return { way, a, b }
  end
  if depth > DEEPEST then error("tables are nested too deeply to be compared", 0) end
  if seen[a] and seen[a][b] then return nil end
  seen[a] = seen[a] or {}
  seen[a][b] = true
  local keys = {}
  for key in next, a do keys[#keys + 1] = key end
  for key in next, b do
    if a[key] == nil then keys[#keys + 1] = key end
  end
  sort(keys, function(x, y)
    if math_type(x) and math_type(y) then return x < y end
    if (math_type(x) == nil) ~= (math_type(y) == nil) then return math_type(x) ~= nil end
    return tostring(x) < tostring(y)
  end)
  for _, key in ipairs(keys) do
    local step = type(key) == "string" and key:find("^[%a_][%w_]*$") and "." .. key or "[" .. text.repr(key) .. "]"
    local found = difference(a[key], b[key], way .. step, depth + 1, seen)
    if found then return found end
  end
end

local function equal(a, b) return difference(a, b, "", 1, {}) == nil end

local function has(actual, wanted)
  if type(actual) == "string" then
    if type(wanted) ~= "string" then error("to_contain: a text contains only text, got " .. P.describe(wanted), 0) end
    return actual:find(wanted, 1, true) ~= nil
  end
  if type(actual) ~= "table" then error("to_contain needs a text or a list, got " .. P.describe(actual), 0) end
  for _, item in ipairs(actual) do
    if equal(item, wanted) then return true end
  end
  return false
end

-- The first field that is not as wanted: its name, or nil.
local function lacking(actual, wanted)
  local keys = {}
  for key in next, wanted do keys[#keys + 1] = key end
  sort(keys, function(x, y) return tostring(x) < tostring(y) end)
  for _, key in ipairs(keys) do
    if not equal(actual[key], wanted[key]) then return key end
  end
end

local function number(what, value)
  if not math_type(value) then error(what .. " needs numbers, got " .. P.describe(value), 0) end
end

local function message_of(raised)
  if type(raised) == "table" and type(raised.message) == "string" then return raised.message end
  return tostring(raised)
end

-- Each gives whether it holds, what was expected in words, and what came where that is not the value itself.
local matchers = {}
function matchers.to_be(actual, wanted) return rawequal(actual, wanted) or (not plain(actual) and actual == wanted), shown(wanted) end
function matchers.to_equal(actual, wanted)
  local found = difference(actual, wanted, "", 1, {})
  if not found then return true, "anything but " .. shown(wanted) end
  local way, came, expected = unpack(found, 1, 3)
  if way == "" then return false, shown(wanted) end
  return false, ("%s to be %s"):format(way:gsub("^%.", ""), shown(expected)), ("%s in %s"):format(shown(came), shown(actual))
end
function matchers.to_contain(actual, wanted) return has(actual, wanted), shown(wanted) .. " in it" end
function matchers.to_have(actual, wanted)
  if type(actual) ~= "table" or type(wanted) ~= "table" then error("to_have compares fields of two tables, got " .. P.describe(actual), 0) end
  local key = lacking(actual, wanted)
  if key == nil then return true, shown(wanted) .. " in it" end
  return false, ("%s = %s"):format(tostring(key), shown(wanted[key])), ("%s in %s"):format(shown(actual[key]), shown(actual))
end
function matchers.to_match(actual, pattern)
  if type(actual) ~= "string" then error("to_match needs a text, got " .. P.describe(actual), 0) end
  return regex.search(pattern, actual) ~= nil, "a match of " .. shown(type(pattern) == "string" and pattern or tostring(pattern))
end
function matchers.to_have_length(actual, wanted)
  if type(actual) ~= "string" and type(actual) ~= "table" then error("to_have_length needs a text or a list, got " .. P.describe(actual), 0) end
  return #actual == wanted, "length " .. shown(wanted), ("length %d: %s"):format(#actual, shown(actual))
end
function matchers.to_be_a(actual, kind)
  if type(kind) == "string" then
    return type(actual) == kind or math_type(actual) == kind, "a " .. kind, P.describe(actual)
  end
  return G.isinstance(actual, kind), "a " .. tostring(kind.classname), P.describe(actual)
end
function matchers.to_be_near(actual, wanted, within)
  number("to_be_near", actual)
  number("to_be_near", wanted)
  within = within or 1e-9
  return actual - wanted <= within and wanted - actual <= within, ("%s, give or take %s"):format(shown(wanted), shown(within))
end
function matchers.to_be_above(actual, limit)
  number("to_be_above", actual)
  number("to_be_above", limit)
  return actual > limit, "more than " .. shown(limit)
end
function matchers.to_be_below(actual, limit)
  number("to_be_below", actual)
  number("to_be_below", limit)
  return actual < limit, "less than " .. shown(limit)
end
-- A text must be in the message; `regex.compile(…)` must match it.
function matchers.to_fail(actual, with)
  if type(actual) ~= "function" then error("to_fail needs a function: expect(function() … end):to_fail(…)", 0) end
  local ended, raised = pcall(actual)
  if ended then return false, with == nil and "an error" or "the error " .. shown(with), "no error" end
  if running and running.why then error(running.why, 0) end
  if with == nil then return true, "an error", shown(message_of(raised)) end
  local message = message_of(raised)
  local fits = type(with) == "string" and message:find(with, 1, true) ~= nil or type(with) ~= "string" and with:search(message) ~= nil
  return fits, "an error with " .. shown(with), "the error " .. shown(message)
end
matchers.to_raise = matchers.to_fail
-- A failure of a backend of that kind: capacity, retry, config_error.
function matchers.to_fail_as(actual, kind, with)
  if type(actual) ~= "function" then error("to_fail_as needs a function: expect(function() … end):to_fail_as(\"capacity\")", 0) end
  if kind ~= "capacity" and kind ~= "retry" and kind ~= "config_error" then
    error("to_fail_as: the kind is \"capacity\", \"retry\" or \"config_error\", got " .. P.describe(kind), 0)
  end
  local ended, raised = pcall(actual)
  local wanted = ("latent.%s%s"):format(kind, with and " with " .. shown(with) or "")
  if ended then return false, wanted, "no error" end
  local failure = P.failure_of(raised)
  if not failure then return false, wanted, "the plain error " .. shown(message_of(raised)) end
  local fits = failure.failure == kind and (with == nil or failure.message:find(with, 1, true) ~= nil)
  return fits, wanted, ("latent.%s with %s"):format(failure.failure, shown(failure.message))
end

local open -- the expectation that no matcher was called on yet
local function closed()
  if open then
    local place = open
    open = nil
    error(host.place_text(place) .. ": expect(…) says nothing: call a matcher on it, as in expect(x):to_be(1)", 0)
  end
end

local function bound(actual, negated)
  return setmetatable({}, {
    __index = function(self, key)
      if key == "never" then return bound(actual, not negated) end
      local matcher = matchers[key]
      if not matcher then
        open = nil
        local known = { never = true }
        for name in pairs(matchers) do known[name] = true end
        error(("expect(…) has no '%s'%s"):format(tostring(key), hint(key, known)), 0)
      end
      return function(this, ...)
        open = nil
        if getmetatable(this) ~= "expect" then error(("write expect(…):%s(…), with a colon"):format(key), 0) end
        local holds, wanted, came = matcher(actual, ...)
        if (holds and true or false) == not negated then return end
        if negated then error(("expected anything but %s, got %s"):format(wanted, came or shown(actual)), 0) end
        error(("expected %s, got %s"):format(wanted, came or shown(actual)), 0)
      end
    end,
    __newindex = function() error("expect(…) takes no fields", 0) end,
    __metatable = "expect",
  })
end

function offered.expect(actual)
  closed()
  open = host.place()
  return bound(actual, false)
end

-- One test, in two parts: what follows it is done however it ended.
function T.run(i)
  local test = tests[i]
  running = { test = test }
  open = nil
  local groups, at = {}, test.group
  while at do
    insert(groups, 1, at)
    at = at.parent
  end
  for _, each in ipairs(groups) do
    for _, before in ipairs(each.before) do before() end
  end
  test.body()
  closed()
end

function T.after(i)
  open = nil
  local at, failed = tests[i].group, nil
  while at do
    for n = #at.after, 1, -1 do
      local ended, raised = lib.xpcall(at.after[n], host.caught)
      if not ended then failed = failed or raised end
    end
    at = at.parent
  end
  if failed then error(failed, 0) end
end

-- Why the test that ran skipped itself; everything that stood in for the world is gone.
function T.done()
  local why = running and running.why
  running = nil
  world.reset()
  return why
end

function T.callable(made)
  return function(...) return world.call(made, ...) end
end

-- The configuration of a file, checked as the master would.
function offered.load_master(name)
  if name == nil then name = "master.lua" end
  if type(name) ~= "string" then error("load_master needs the name of a file, got " .. P.describe(name), 0) end
  return world.load(name)
end

-- What the methods of a latent worker are called with: `self` as the host makes it for one launch, and the build that waits.
local facts_known = { launch_id = true, master_id = true, master_host = true, master_port = true, password = true, properties = true, builder = true }
function offered.launching(worker, facts)
  local record = P.records[worker]
  local decl = record and record.info.decl
  if not (decl and decl.is_latent) then error("launching needs a latent worker, got " .. P.describe(worker), 0) end
  facts = facts or {}
  for name in pairs(facts) do
    if not facts_known[name] then error(("launching: there is no '%s'%s"):format(tostring(name), hint(name, facts_known)), 0) end
  end
  local seen = P.backend_view(worker, {
    name = worker.name, password = facts.password or "a password", launch_id = facts.launch_id or "launch-1",
    master_id = facts.master_id or "master-1", master_host = facts.master_host or "master.example", master_port = facts.master_port or 9989,
  })
  local builder = facts.builder or "builder"
  local properties = { buildername = builder }
  for name, value in pairs(facts.properties or {}) do properties[name] = value end
  return seen, P.build_of({ builder = builder, workername = worker.name, reason = "", sources = {} }, P.properties_of(properties))
end

-- What stands in for the world.
local fake = {}
offered.fake = setmetatable(fake, {
  __index = function(_, key) error(("there is no fake.%s%s"):format(tostring(key), hint(key, fake)), 0) end,
  __metatable = "host",
})

local function only_inside(what)
  if not running then error(what .. " is for the inside of a test, or for before_each: it is undone when the test has ended", 0) end
end

-- A pattern in which `*` is any text.
local function glob(pattern)
  local parts = {}
  for part in (pattern .. "*"):gmatch("(.-)%*") do parts[#parts + 1] = (part:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")) end
  return "^" .. concat(parts, ".*") .. "$"
end

-- What is scripted: the newest rule that fits answers, each of its answers once, the last one for ever.
local function script(what, one_line, fits)
  local self = { calls = {} }
  local rules = {}
  local function rule(shown_as, match, ...)
    local answers = pack(...)
    if answers.n == 0 then error(("%s: %s has no answer"):format(what, shown_as), 0) end
    for i = 1, answers.n do
      local kind = type(answers[i])
      if kind ~= "table" and kind ~= "function" then
        error(("%s: answer %d to %s must be a table or a function, got %s"):format(what, i, shown_as, P.describe(answers[i])), 0)
      end
    end
    rules[#rules + 1] = { shown = shown_as, match = match, answers = answers, at = 0 }
  end
  local function answer(asked)
    self.calls[#self.calls + 1] = asked
    for i = #rules, 1, -1 do
      local found = rules[i]
      if fits(found.match, asked) then
        found.at = found.at < found.answers.n and found.at + 1 or found.at
        local chosen = found.answers[found.at]
        if type(chosen) ~= "function" then return chosen end
        local made = chosen(asked)
        if type(made) ~= "table" then error(("%s: the answer to %s must be a table, got %s"):format(what, found.shown, P.describe(made)), 0) end
        return made
      end
    end
    local known, seen = {}, {}
    for _, found in ipairs(rules) do
      if not seen[found.shown] then known[#known + 1], seen[found.shown] = found.shown, true end
    end
    local line = one_line(asked)
    local near = host.nearest(line, known)
    error(("%s: no answer is scripted for %s%s"):format(what, line, near and (" (did you mean '%s'?)"):format(near)
      or #known > 0 and "; there is " .. concat(known, ", ") or ""), 0)
  end
  return self, rule, answer
end

-- `METHOD ADDRESS`: an address that begins with a slash is a path on any host. The query counts where the pattern has one.
local function http_line(asked) return asked.method .. " " .. asked.url end
local function http_fits(match, asked)
  if match.method ~= "*" and match.method ~= asked.method then return false end
  local address = match.query and asked.url or asked.address
  if match.path then
    address = asked.path .. (match.query and asked.url:match("%?.*$") or "")
  end
  return address:find(match.pattern) ~= nil
end

function fake.http(scripted)
  only_inside("fake.http")
  local self, rule, answer = script("fake.http", http_line, http_fits)
  function self:on(method, address, ...)
    if type(method) ~= "string" or type(address) ~= "string" then
      error('fake.http: write web:on("GET", "https://host/path", { json = … })', 0)
    end
    local match = { method = method:upper(), pattern = glob(address), path = address:sub(1, 1) == "/", query = address:find("?", 1, true) ~= nil }
    rule(match.method .. " " .. address, match, ...)
    return self
  end
  if scripted ~= nil and not plain(scripted) then error("fake.http needs a table of answers, got " .. P.describe(scripted), 0) end
  for _, key in ipairs(P.api.dict.keys(scripted or {})) do
    local method, address = tostring(key):match("^(%S+) (%S+)$")
    if not method then error(('fake.http: %s must be a method and an address, as in "GET https://host/path"'):format(shown(key)), 0) end
    self:on(method, address, scripted[key])
  end
  world.fake("http", answer)
  return self
end

local function words(asked) return concat(asked.argv, " ") end
function fake.process(scripted)
  only_inside("fake.process")
  local self, rule, answer = script("fake.process", words, function(pattern, asked) return words(asked):find(pattern) ~= nil end)
  function self:on(command, ...)
    local line = plain(command) and concat(command, " ") or command
    if type(line) ~= "string" then error('fake.process: write commands:on("virsh list*", { stdout = … })', 0) end
    rule(line, glob(line), ...)
    return self
  end
  if scripted ~= nil and not plain(scripted) then error("fake.process needs a table of answers, got " .. P.describe(scripted), 0) end
  for _, key in ipairs(P.api.dict.keys(scripted or {})) do self:on(key, scripted[key]) end
  world.fake("process", answer)
  return self
end

-- Time that stands still until everything waits for it.
function fake.time(at)
  only_inside("fake.time")
  if at ~= nil and not math_type(at) then error("fake.time needs seconds since 1970, got " .. P.describe(at), 0) end
  world.time(at)
  local clock = {}
  function clock.now() return P.api.time.now() end
  function clock:advance(seconds)
    if not math_type(seconds) or seconds < 0 then error("advance needs seconds, at least 0, got " .. P.describe(seconds), 0) end
    world.advance(seconds)
  end
  return setmetatable(clock, {
    __index = function(_, key)
      if key == "slept" then return world.slept() end
      error(("a clock has no '%s'; there is now, advance, slept"):format(tostring(key)), 0)
    end,
    __metatable = "clock",
  })
end

for name, value in pairs(offered) do rawset(G, name, value) end
