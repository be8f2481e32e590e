-- list: functions on lists. None changes its arguments but `extend`.
local check = ...
local ipairs, select, type, sort = ipairs, select, type, table.sort
local list = {}

function list.concat(...)
  local out = {}
  for i = 1, select("#", ...) do
    local items = (select(i, ...))
    if items ~= nil then
      check.list("list.concat", "argument " .. i, items)
      for _, value in ipairs(items) do out[#out + 1] = value end
    end
  end
  return out
end

function list.extend(into, from)
  check.list("list.extend", "into", into)
  check.list("list.extend", "from", from)
  -- The length is taken first: a list may be added to itself.
  for i = 1, #from do into[#into + 1] = from[i] end
  return into
end

function list.map(items, f)
  check.list("list.map", "items", items)
  check.callable("list.map", "f", f)
  local out = {}
  for i, value in ipairs(items) do out[i] = f(value, i) end
  return out
end

function list.filter(items, f)
  check.list("list.filter", "items", items)
  check.callable("list.filter", "f", f)
  local out = {}
  for i, value in ipairs(items) do
    if f(value, i) then out[#out + 1] = value end
  end
  return out
end

function list.any(items, f)
  check.list("list.any", "items", items)
  if f ~= nil then check.callable("list.any", "f", f) end
  for _, value in ipairs(items) do
    if f == nil and value or f ~= nil and f(value) then return true end
  end
  return false
end

function list.all(items, f)
  check.list("list.all", "items", items)
  if f ~= nil then check.callable("list.all", "f", f) end
  for _, value in ipairs(items) do
    if f == nil and not value or f ~= nil and not f(value) then return false end
  end
  return true
end

function list.contains(items, wanted)
  check.list("list.contains", "items", items)
  for _, value in ipairs(items) do
    if value == wanted then return true end
  end
  return false
end

function list.unique(items)
  check.list("list.unique", "items", items)
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
  check.list("list.set", "items", items)
  local out = {}
  for _, value in ipairs(items) do out[value] = true end
  return out
end

-- A key as a list of numbers and texts: one alone is a list of one.
local function key_of(by, i, keyed)
  local parts = { by }
  if type(by) == "table" and #by > 0 then parts = by end
  for _, part in ipairs(parts) do
    local kind = type(part)
    if kind ~= "number" and kind ~= "string" then
      check.fail("list.sorted", ("%s has no order: item %d%s"):format(check.describe(part), i, keyed and "" or ", and no key is given"))
    elseif part ~= part then
      check.fail("list.sorted", ("item %d is no number that has an order"):format(i))
    end
  end
  return parts
end

-- The keys are made first, so that `key` may wait. Items with the same key keep their order; lists are compared item by item.
function list.sorted(items, key)
  check.list("list.sorted", "items", items)
  if key ~= nil then check.callable("list.sorted", "key", key) end
  local entries = {}
  for i, value in ipairs(items) do
    local by = value
    if key ~= nil then by = key(value) end
    local parts = key_of(by, i, key ~= nil)
    for n, part in ipairs(entries[1] and entries[1].by or {}) do
      if parts[n] ~= nil and type(part) ~= type(parts[n]) then
        check.fail("list.sorted", ("%s and %s have no common order: items 1 and %d"):format(check.describe(part), check.describe(parts[n]), i))
      end
    end
    entries[i] = { by = parts, at = i, value = value }
  end
  sort(entries, function(a, b)
    for n, part in ipairs(a.by) do
      local other = b.by[n]
      if other == nil then return false end
      if part ~= other then return part < other end
    end
    if #a.by ~= #b.by then return true end
    return a.at < b.at
  end)
  local out = {}
  for i, entry in ipairs(entries) do out[i] = entry.value end
  return out
end

return list
