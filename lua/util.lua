-- `util.timedelta`: a number of seconds from Python's names for parts of time.
local P = ...
local host, lib = P.host, P.lib
local tointeger = math.tointeger
local type, pairs, ipairs, error, rawset, tostring = lib.type, lib.pairs, ipairs, lib.error, lib.rawset, lib.tostring

local seconds_of = { weeks = 604800, days = 86400, hours = 3600, minutes = 60, seconds = 1, milliseconds = 1e-3, microseconds = 1e-6 }
local positions = { "days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks" }

local function wrong(text)
  if not P.loading then error("timedelta: " .. text, 0) end
  host.mistake(text, "timedelta")
end

rawset(P.globals.util, "timedelta", function(first, ...)
  local given = type(first) == "table" and first or { first, ... }
  local names = {}
  for key in pairs(given) do names[#names + 1] = key end
  lib.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  local total = 0
  for _, key in ipairs(names) do
    local name, value = positions[key] or key, given[key]
    local unit = type(name) == "string" and seconds_of[name]
    if not unit then
      local near = type(name) == "string" and host.nearest(name, positions)
      wrong(("unknown argument '%s'%s"):format(tostring(name), near and (" (did you mean '" .. near .. "'?)") or ""))
    elseif lib.math_type(value) == nil then
      wrong(("'%s' must be a number, got %s"):format(name, P.describe(value)))
    elseif name ~= key and given[name] ~= nil then
      wrong(("'%s' given twice, by position and by name"):format(name))
    else
      total = total + value * unit
    end
  end
  -- A whole number stays one, for what takes no other.
  return tointeger(total) or total
end)
