-- What of Lua's own library a configuration sees, and what it is told about the rest.
local P = ...
local G, host = P.globals, P.host

local getmetatable, rawget, type, pairs, setmetatable = getmetatable, rawget, type, pairs, setmetatable
local raw_pcall, raw_xpcall, error, select, tostring, pack, unpack = pcall, xpcall, error, select, tostring, table.pack, table.unpack

-- Private copies: a file may assign to the globals of the same names.
P.lib = {
  getmetatable = getmetatable, setmetatable = setmetatable, rawget = rawget, type = type, pairs = pairs, error = error,
  xpcall = raw_xpcall, rawset = rawset, select = select, tostring = tostring, sort = table.sort, concat = table.concat,
  math_type = math.type, pack = pack, unpack = unpack,
}

P.absent = {
  io = "use fs.read and fs.write",
  load = "put the code into a file and require it", loadstring = "put the code into a file and require it",
  loadfile = "use require", dofile = "use require", debug = "it is not needed here: errors carry their traceback",
  coroutine = "host calls wait by themselves", collectgarbage = "the host takes care of memory", package = "use require",
  warn = "use log.warn", True = "Lua writes true", False = "Lua writes false", null = "write None", len = "Lua writes #list",
  str = "Lua writes tostring(x)", int = "Lua writes math.tointeger(x)", float = "Lua writes tonumber(x)", open = "use fs.read",
  range = "Lua writes for i = 1, n do", enumerate = "Lua writes for i, item in ipairs(list) do", sorted = "write list.sorted(t)",
  any = "write list.any(t)", all = "write list.all(t)", set = "a list does: { a, b }", tuple = "a list does: { a, b }",
  self = "write function Class:name(…), with a colon",
  super = "write Class.super.init(self, …)", undefined = "Lua writes nil", NULL = "write None",
  subprocess = "use process.run", shutil = "use fs.copy and fs.remove", asyncio = "use spawn, gather and timeout",
  buildbot = "its plugins are globals: worker, steps, util, schedulers …", plugins = "they are globals: worker, steps, util, schedulers …",
  re = "use regex", datetime = "use time.date, time.parse and time.format", hashlib = "use hash", urllib = "use url",
  f = "text is filled in by (\"…%s…\"):format(x)", r = "text without escapes is written [[…]]", u = "a text needs no letter before it",
}

local keep = { "string", "table", "math", "utf8", "assert", "error", "pcall", "xpcall", "select", "type", "tostring", "tonumber",
  "ipairs", "pairs", "next", "setmetatable", "getmetatable", "rawget", "rawset", "rawequal", "rawlen", "_G", "_VERSION" }
local kept = {}
for _, name in ipairs(keep) do kept[name] = G[name] end
local os = os
for name in next, G do G[name] = nil end
for name, value in pairs(kept) do G[name] = value end
for name, value in pairs(P.api) do G[name] = value end
G.string.dump = nil

local os_hints = {
  execute = "use process.run", exit = "use error", remove = "use fs.remove", rename = "use fs.rename", tmpname = "use fs.write",
  setlocale = "the locale is the host's", environ = "use os.getenv", path = "use path.join, path.basename, fs.exists",
  listdir = "use fs.list", getcwd = "names of files are relative to the configuration's folder",
}
function P.no_os(name) return "there is no os." .. tostring(name) .. (os_hints[name] and ": " .. os_hints[name] or "") end
G.os = setmetatable({ time = os.time, date = os.date, clock = os.clock, getenv = os.getenv }, {
  __index = function(_, name) error(P.no_os(name), 0) end,
  __metatable = "host",
})

-- Errors of the host are objects on their way; a file gets their text.
local function shown(err)
  if type(err) ~= "userdata" then return err end
  return host.error_text(err) or err
end
-- The end of a slice that could not be pre-empted passes through every protected call.
local function pass(ok, ...)
  if ok then return ok, ... end
  if host.overrun() then error((...), 0) end
  return ok, shown((...))
end
-- With a handler, what follows is what the handler gave.
local function pass_handled(ok, ...)
  if not ok and host.overrun() then error((...), 0) end
  return ok, ...
end
function G.pcall(...) return pass(raw_pcall(...)) end
function G.xpcall(f, handler, ...)
  if type(handler) ~= "function" then error("xpcall needs a function and a handler", 2) end
  return pass_handled(raw_xpcall(f, function(err) return handler(shown(err)) end, ...))
end

-- The count hook does not run inside finalizers, so a loop there could never be stopped.
function G.setmetatable(t, mt)
  if type(mt) == "table" and rawget(mt, "__gc") ~= nil then error("finalizers (__gc) are not available", 0) end
  return setmetatable(t, mt)
end

function G.print(...)
  local parts = pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  host.print(P.lib.concat(parts, "\t", 1, parts.n))
end
