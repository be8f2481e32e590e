-- path: functions on file names with slashes.
local path = {}

function path.join(first, ...)
  local out = first
  for _, part in ipairs{ ... } do
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

function path.basename(p) return (p:match("([^/]*)$")) end

function path.dirname(p)
  local dir = p:match("^(.*)/[^/]*$")
  if dir == nil then return "" end
  return dir == "" and "/" or dir
end

return path
