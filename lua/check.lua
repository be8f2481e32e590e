-- What the library's functions demand of their arguments. The error has the line of the caller of the function that checks.
local describe = ...
local error, type, getmetatable, ipairs = error, type, getmetatable, ipairs

local check = {}

-- `level` is that of the function whose caller is to blame.
function check.fail(what, text, level) error(what .. ": " .. text, (level or 1) + 2) end

local function wrong(what, name, kind, value)
  error(("%s: '%s' must be %s, got %s"):format(what, name, kind, describe(value)), 4)
end

local function kind_of(lua_type, kind)
  return function(what, name, value)
    if type(value) ~= lua_type then wrong(what, name, kind, value) end
  end
end

check.text = kind_of("string", "text")
check.callable = function(what, name, value)
  local meta = type(value) == "table" and getmetatable(value)
  if type(value) ~= "function" and not meta then wrong(what, name, "a function", value) end
end
check.table = kind_of("table", "a table")
check.list = kind_of("table", "a list")

check.describe = describe
return check
