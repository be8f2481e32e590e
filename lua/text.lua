-- text: functions on strings, named as Python's.
local check = ...
local type, tostring, tonumber, ipairs, pairs, getmetatable = type, tostring, tonumber, ipairs, pairs, getmetatable
local sort, concat, move, byte, math_type = table.sort, table.concat, table.move, string.byte, math.type
local text = {}

function text.startswith(s, start)
  check.text("text.startswith", "s", s)
  check.text("text.startswith", "start", start)
  return s:sub(1, #start) == start
end

function text.endswith(s, ending)
  check.text("text.endswith", "s", s)
  check.text("text.endswith", "ending", ending)
  return ending == "" or s:sub(-#ending) == ending
end

-- By bytes: a pattern would look at each stretch of inner space again and again.
function text.strip(s)
  check.text("text.strip", "s", s)
  local first, last = s:find("%S"), #s
  if not first then return "" end
  while s:find("^%s", last) do last = last - 1 end
  return s:sub(first, last)
end

function text.split(s, separator)
  check.text("text.split", "s", s)
  if separator ~= nil then check.text("text.split", "separator", separator) end
  local out = {}
  if separator == nil then
    for word in s:gmatch("%S+") do out[#out + 1] = word end
    return out
  end
  if separator == "" then check.fail("text.split", "the separator is empty") end
  local from = 1
  while true do
    local first, last = s:find(separator, from, true)
    if not first then break end
    out[#out + 1] = s:sub(from, first - 1)
    from = last + 1
  end
  out[#out + 1] = s:sub(from)
  return out
end

function text.lines(s)
  check.text("text.lines", "s", s)
  local out = {}
  for line in (s:gsub("\r\n?", "\n") .. "\n"):gmatch("(.-)\n") do out[#out + 1] = line end
  if out[#out] == "" then out[#out] = nil end
  return out
end

-- `{name}` from the table, `{1}` from its items; `{{` is a brace.
function text.format(s, values)
  check.text("text.format", "s", s)
  if values == nil then values = {} end
  check.table("text.format", "values", values)
  local missing
  local out = s:gsub("{({?)([^{}]*)}(}?)", function(open, name, close)
    if open ~= "" and close ~= "" then return "{" .. name .. "}" end
    local value = values[tonumber(name) or name]
    if value == nil then
      missing = missing or name
      return ""
    end
    return open .. tostring(value) .. close
  end)
  if missing then check.fail("text.format", "there is no value for {" .. missing .. "}") end
  return out
end

local DEEPEST = 100
local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }
local words = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true until while"):gmatch("%a+") do
  words[word] = true
end

local function quoted(s)
  return '"' .. s:gsub('[%c"\\\127]', function(c) return escapes[c] or ("\\x%02x"):format(byte(c)) end) .. '"'
end

local function repr(value, within, depth)
  if type(value) == "string" then return quoted(value) end
  if math_type(value) == "float" and value == value and value ~= 1 / 0 and value ~= -1 / 0 then
    -- The shortest that reads back as the same.
    local short = ("%.14g"):format(value)
    if tonumber(short) ~= value then short = ("%.17g"):format(value) end
    return short:find("[.e]") and short or short .. ".0"
  end
  if type(value) ~= "table" or getmetatable(value) ~= nil then return tostring(value) end
  if within[value] or depth > DEEPEST then return "{…}" end
  within[value] = true
  local parts, count = {}, 0
  for i, item in ipairs(value) do parts[i], count = repr(item, within, depth + 1), i end
  local named = {}
  for key, item in pairs(value) do
    if not (math_type(key) == "integer" and key >= 1 and key <= count) then
      local name = type(key) == "string" and key:find("^[%a_][%w_]*$") and not words[key] and key or "[" .. repr(key, within, depth + 1) .. "]"
      named[#named + 1] = name .. " = " .. repr(item, within, depth + 1)
    end
  end
  sort(named)
  move(named, 1, #named, count + 1, parts)
  within[value] = nil
  return #parts == 0 and "{}" or "{ " .. concat(parts, ", ") .. " }"
end

-- A value as Lua would write it; a table that holds itself ends there.
function text.repr(value) return (repr(value, {}, 1)) end

return text
