-- `require`: the configuration's folder first, then the modules that ship inside the binary.
local P = ...
local host, lib = P.host, P.lib
local ipairs, type, error, concat, setmetatable, sleep = ipairs, lib.type, lib.error, lib.concat, lib.setmetatable, P.api.sleep

-- What each task is evaluating; a module that another one has begun is waited for.
local loaded, chains, begun = {}, {}, {}

local function evaluate(name, chunk, id, chain)
  chain[#chain + 1], begun[name] = name, true
  local _ <close> = setmetatable({}, { __close = function()
    chain[#chain], begun[name] = nil, nil
    if #chain == 0 then chains[id] = nil end
  end })
  local value = chunk(name)
  if value == nil then value = true end
  loaded[name] = value
  return value
end

function P.globals.require(name)
  if type(name) ~= "string" then error("require needs the name of a module", 0) end
  local there = loaded[name]
  if there ~= nil then return there end
  local id = host.call_id()
  local chain = chains[id] or {}
  for i, other in ipairs(chain) do
    if other == name then error(("modules require each other: %s -> %s"):format(concat(chain, " -> ", i), name), 0) end
  end
  if not P.loading then error(("require(%q) is for the file while it is loaded: move it to the top of the file"):format(name), 0) end
  while begun[name] do sleep(0.005) end
  if loaded[name] ~= nil then return loaded[name] end
  local chunk = host.module(name)
  chains[id] = chain
  return evaluate(name, chunk, id, chain)
end
