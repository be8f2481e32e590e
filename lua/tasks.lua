-- `spawn`, `gather`, `timeout`: several things at once within one call. The host runs them and ends them with the call.
local P = ...
local G, host, lib = P.globals, P.host, P.lib
local type, error, setmetatable, ipairs, tostring, select =
  lib.type, lib.error, lib.setmetatable, ipairs, lib.tostring, lib.select
local pack, unpack = table.pack, table.unpack

local states = setmetatable({}, { __mode = "k" })
local methods = {}
local task_mt = {
  __index = methods, __name = "task", __metatable = "host",
  __newindex = function(_, name) error("a task takes no fields, got '" .. tostring(name) .. "'", 0) end,
}

local function state_of(task, call)
  local state = states[task]
  if not state then error(call .. ": needs a task that spawn made, got " .. P.describe(task), 0) end
  return state
end

local function start(call, f, ...)
  if type(f) ~= "function" then error(call .. ": needs a function, got " .. P.describe(f), 0) end
  local args, state = pack(...), {}
  local function keep(e)
    -- A table that was raised goes to whoever waits as it is.
    if type(e) == "table" then state.raised = e end
    return host.caught(e)
  end
  state.handle = host.spawn(function()
    local values = pack(lib.xpcall(f, keep, unpack(args, 1, args.n)))
    if not values[1] then error(values[2], 0) end
    state.values = values
  end)
  return state
end

local function raise(state, complaint)
  if state.raised ~= nil then error(state.raised, 0) end
  error(complaint, 0)
end

function G.spawn(f, ...)
  local task = setmetatable({}, task_mt)
  states[task] = start("spawn", f, ...)
  return task
end

function methods:wait()
  local state = state_of(self, "wait")
  local _, complaint = host.wait_all{ state.handle }
  if complaint then raise(state, complaint) end
  return unpack(state.values, 2, state.values.n)
end

function methods:cancel() host.cancel(state_of(self, "cancel").handle) end

function G.gather(items, ...)
  if type(items) ~= "table" or states[items] or select("#", ...) > 0 then error("gather: needs one list of functions and tasks: gather{ f, g }", 0) end
  local all, handles = {}, {}
  for i, item in ipairs(items) do
    if not states[item] and type(item) ~= "function" then
      error(("gather: item %d must be a function or a task, got %s"):format(i, P.describe(item)), 0)
    end
  end
  for i, item in ipairs(items) do
    all[i] = states[item] or start("gather", item)
    handles[i] = all[i].handle
  end
  local failed, complaint = host.wait_all(handles)
  if failed then
    for _, handle in ipairs(handles) do host.cancel(handle) end
    raise(all[failed], complaint)
  end
  local results = { n = #all }
  for i, state in ipairs(all) do results[i] = state.values[2] end
  return results
end

function G.timeout(seconds, f, ...)
  local state = start("timeout", f, ...)
  local ended, complaint = host.wait_for(state.handle, seconds)
  if not ended then
    host.cancel(state.handle)
    local place = host.place_text(host.place())
    error(("%s: timeout: the function did not return within %s"):format(place, complaint), 0)
  end
  if complaint then raise(state, complaint) end
  return unpack(state.values, 2, state.values.n)
end
