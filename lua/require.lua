-- `require`: the configuration's folder first, then the modules that ship inside the binary.
local P = ...
local host, lib = P.host, P.lib
local ipairs, type, error, concat, setmetatable = ipairs, lib.type, lib.error, lib.concat, lib.setmetatable

local loaded, chain = {}, {}
local leave = setmetatable({}, { __close = function() chain[#chain] = nil end })

local function evaluate(name, chunk)
  chain[#chain + 1] = name
  local _ <close> = leave
  local value = chunk(name)
  return value
end

function P.globals.require(name)
  if type(name) ~= "string" then error("require needs the name of a module", 0) end
  local there = loaded[name]
  if there ~= nil then return there end
  for i, other in ipairs(chain) do
    if other == name then error(("modules require each other: %s -> %s"):format(concat(chain, " -> ", i), name), 0) end
  end
  if not P.loading then error(("require(%q) is for the file while it is loaded: move it to the top of the file"):format(name), 0) end
  local chunk = host.module(name)
  local value = evaluate(name, chunk)
  if value == nil then value = true end
  loaded[name] = value
  return value
end
