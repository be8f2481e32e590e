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

-- The keys are made first, so that `key` may wait. Items with the same key keep their order.
function list.sorted(items, key)
  check.list("list.sorted", "items", items)
  if key ~= nil then check.callable("list.sorted", "key", key) end
  local entries = {}
  for i, value in ipairs(items) do
    local by = value
    if key ~= nil then by = key(value) end
    local kind = type(by)
    if kind ~= "number" and kind ~= "string" then
      check.fail("list.sorted", ("%s has no order: item %d%s"):format(check.describe(by), i, key == nil and ", and no key is given" or ""))
    elseif by ~= by then
      check.fail("list.sorted", ("item %d is no number that has an order"):format(i))
    elseif entries[1] and type(entries[1].by) ~= kind then
      check.fail("list.sorted", ("%s and %s have no common order: items 1 and %d"):format(check.describe(entries[1].by), check.describe(by), i))
    end
    entries[i] = { by = by, at = i, value = value }
  end
  sort(entries, function(a, b)
    if a.by == b.by then return a.at < b.at end
    return a.by < b.by
  end)
  local out = {}
  for i, entry in ipairs(entries) do out[i] = entry.value end
  return out
end

return list
