-- dict: functions on tables with names. Orders are by key.
local dict = {}

local function before(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  return type(a) < type(b) or (type(a) == type(b) and tostring(a) < tostring(b))
end

function dict.keys(t)
  local out = {}
  for key in pairs(t) do out[#out + 1] = key end
  table.sort(out, before)
  return out
end

function dict.values(t)
  local out = {}
  for i, key in ipairs(dict.keys(t)) do out[i] = t[key] end
  return out
end

function dict.items(t)
  local out = {}
  for i, key in ipairs(dict.keys(t)) do out[i] = { key, t[key] } end
  return out
end

function dict.copy(t)
  local out = {}
  for key, value in pairs(t) do out[key] = value end
  return out
end

function dict.merge(...)
  local out = {}
  for i = 1, select("#", ...) do
    for key, value in pairs((select(i, ...)) or {}) do out[key] = value end
  end
  return out
end

-- Objects (whatever has a metatable) are left alone; a table that is met twice is copied once.
function dict.deepcopy(t, copies)
  if type(t) ~= "table" or getmetatable(t) ~= nil then return t end
  copies = copies or {}
  if copies[t] then return copies[t] end
  local out = {}
  copies[t] = out
  for key, value in pairs(t) do out[key] = dict.deepcopy(value, copies) end
  return out
end

function dict.sorted_pairs(t)
  local keys, i = dict.keys(t), 0
  return function()
    i = i + 1
    if keys[i] ~= nil then return keys[i], t[keys[i]] end
  end
end

return dict
