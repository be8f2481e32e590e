-- list: functions on lists. None changes its arguments but `extend`.
local list = {}

function list.concat(...)
  local out = {}
  for i = 1, select("#", ...) do
    for _, value in ipairs((select(i, ...)) or {}) do out[#out + 1] = value end
  end
  return out
end

function list.extend(into, from)
  for _, value in ipairs(from) do into[#into + 1] = value end
  return into
end

function list.map(items, f)
  local out = {}
  for i, value in ipairs(items) do out[i] = f(value, i) end
  return out
end

function list.filter(items, f)
  local out = {}
  for i, value in ipairs(items) do
    if f(value, i) then out[#out + 1] = value end
  end
  return out
end

function list.any(items, f)
  for _, value in ipairs(items) do
    if f == nil and value or f ~= nil and f(value) then return true end
  end
  return false
end

function list.all(items, f)
  for _, value in ipairs(items) do
    if f == nil and not value or f ~= nil and not f(value) then return false end
  end
  return true
end

function list.contains(items, wanted)
  for _, value in ipairs(items) do
    if value == wanted then return true end
  end
  return false
end

function list.unique(items)
  local seen, out = {}, {}
  for _, value in ipairs(items) do
    if not seen[value] then
      seen[value] = true
      out[#out + 1] = value
    end
  end
  return out
end

function list.set(items)
  local out = {}
  for _, value in ipairs(items) do out[value] = true end
  return out
end

function list.sorted(items, key)
  local out = list.concat(items)
  if key then
    table.sort(out, function(a, b) return key(a) < key(b) end)
  else
    table.sort(out)
  end
  return out
end

return list
