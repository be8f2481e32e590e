-- text: functions on strings, named as Python's.
local text = {}

function text.startswith(s, prefix) return s:sub(1, #prefix) == prefix end
function text.endswith(s, suffix) return suffix == "" or s:sub(-#suffix) == suffix end
function text.strip(s) return (s:match("^%s*(.-)%s*$")) end

function text.split(s, separator)
  local out = {}
  if separator == nil then
    for word in s:gmatch("%S+") do out[#out + 1] = word end
    return out
  end
  if separator == "" then error("text.split: the separator is empty", 2) end
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
  local out = {}
  for line in (s:gsub("\r\n?", "\n") .. "\n"):gmatch("(.-)\n") do out[#out + 1] = line end
  if out[#out] == "" then out[#out] = nil end
  return out
end

-- `{name}` from the table, `{1}` from its items; `{{` is a brace.
function text.format(s, values)
  return (s:gsub("{({?)([^{}]*)}(}?)", function(open, name, close)
    if open ~= "" and close ~= "" then return "{" .. name .. "}" end
    local value = values[tonumber(name) or name]
    if value == nil then error("text.format: there is no value for {" .. name .. "}", 0) end
    return open .. tostring(value) .. close
  end))
end

function text.repr(value)
  if type(value) == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if type(value) ~= "table" or getmetatable(value) ~= nil then return tostring(value) end
  local parts = {}
  for _, item in ipairs(value) do parts[#parts + 1] = text.repr(item) end
  local named = {}
  for key, item in pairs(value) do
    if type(key) == "string" then named[#named + 1] = key .. " = " .. text.repr(item) end
  end
  table.sort(named)
  table.move(named, 1, #named, #parts + 1, parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

return text
