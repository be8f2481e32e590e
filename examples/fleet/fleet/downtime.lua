-- Hours in which a machine belongs to its owner.
local M = {}

local function minutes(clock)
  local m = assert(regex.fullmatch([[(\d+):(\d\d)]], clock), "a time of day is written 22:00")
  return math.tointeger(m[1]) * 60 + math.tointeger(m[2])
end

-- Seconds until the machine may be used; 0: now. `at` is a time, in seconds.
function M.seconds_left(downtime, at)
  if not downtime then return 0 end
  local now = time.date{ at = at, tz = downtime.tz }
  local from, to, minute = minutes(downtime.from), minutes(downtime.to), now.hour * 60 + now.min
  local within
  if from <= to then within = minute >= from and minute < to else within = minute >= from or minute < to end
  if not within then return 0 end
  return ((to - minute) % (24 * 60)) * 60 - now.sec
end

-- A canStartBuild for the machines of a configuration.
function M.can_start_build(workers)
  local downtime = {}
  for _, worker in ipairs(workers) do downtime[worker.name] = worker.downtime end
  return function(builder, wfb, request)
    -- Who asks by hand and says so need not wait.
    if request.properties.ignore_downtime then return true end
    local left = M.seconds_left(downtime[wfb.worker.name], time.now())
    if left > 0 then return false, left end
    return true
  end
end

return M
