-- path: functions on file names with slashes.
local check = ...
local select = select
local path = {}

-- A part that begins with a slash starts anew.
function path.join(...)
  local out = ""
  for i = 1, select("#", ...) do
    local part = (select(i, ...))
    check.text("path.join", "argument " .. i, part)
    if part:sub(1, 1) == "/" or out == "" then
      out = part
    elseif out:sub(-1) == "/" then
      out = out .. part
    else
      out = out .. "/" .. part
    end
  end
  return out
end

function path.basename(p)
  check.text("path.basename", "p", p)
  return (p:match("[^/]*$"))
end

function path.dirname(p)
  check.text("path.dirname", "p", p)
  local dir = p:match("^(.*)/[^/]*$")
  if dir == nil then return "" end
  return dir == "" and "/" or dir
end

return path
