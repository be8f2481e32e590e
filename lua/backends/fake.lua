-- Machines that behave as a build wishes: what `FakeLatentWorker` does, to try out a configuration. Each wish is an argument, and the
-- property `fake_NAME` of the build counts more. What is started is a process of this machine, so that builds run and nothing is forgotten;
-- what was wished of its later life is in its handle.
local Process = ...
local Fake = {}

-- Long enough for everybody to give up.
local FOR_EVER = 100 * 86400
-- Name to the type of a wish.
local WISHES = {
  start = "string", start_time = "number", attach = "boolean", attach_time = "number", lifetime = "number",
  check = "string", stop = "string", stop_time = "number",
}
local STARTS = { ok = true, capacity = true, retry = true, config_error = true, error = true, hang = true, ["false"] = true, lost = true }
local STOPS = { ok = true, error = true, hang = true }

local function wrong(name, value, kind) latent.config_error(("%s must be %s, got %s"):format(name, kind, text.repr(value))) end

local function checked(name, shown, value)
  local kind = WISHES[name]
  -- Forms give text.
  if kind == "number" and type(value) == "string" then value = tonumber(value) or value end
  if kind == "boolean" and (value == "true" or value == "false") then value = value == "true" end
  if type(value) ~= kind or (kind == "number" and not (value >= 0 and value <= FOR_EVER)) then
    wrong(shown, value, kind == "number" and "a number of seconds" or kind == "boolean" and "true or false" or "text")
  end
  local words = name == "start" and STARTS or name == "stop" and STOPS
  if words and not words[value] then wrong(shown, value, "one of " .. table.concat(dict.keys(words), ", ")) end
  return value
end

local function wishes(self, build)
  local all = {}
  for name in dict.sorted_pairs(WISHES) do
    local value, shown = nil, "fake_" .. name
    if build then value = build.properties:getProperty(shown) end
    if value == nil then value, shown = self[name], name end
    -- A field of a form that was left empty is no wish.
    if value ~= nil and value ~= "" then all[name] = checked(name, shown, value) end
  end
  return all
end

-- The worker comes later, or not at all; it may die.
function Fake:worker_command(build)
  local wish, words = wishes(self, build), Process.worker_command(self, build)
  -- It is only asked after while its worker has not attached.
  if wish.attach == false or wish.check then words = { "sleep", FOR_EVER } end
  local script = 'if [ "$2" != 0 ]; then ( sleep "$2"; kill -KILL $$ ) & fi\nif [ "$1" != 0 ]; then sleep "$1"; fi\nshift 2\nexec "$@"'
  return list.concat({ "sh", "-c", script, "sh", wish.attach_time or 0, wish.lifetime or 0 }, words)
end

function Fake:start_instance(build)
  local wish = wishes(self, build)
  sleep(wish.start_time or 0)
  local start = wish.start or "ok"
  if start == "capacity" then latent.capacity("no room, as the build wishes") end
  if start == "retry" then latent.retry("not now, as the build wishes", 5) end
  if start == "config_error" then latent.config_error("wrong settings, as the build wishes") end
  if start == "error" then error("an error, as the build wishes", 0) end
  if start == "false" then return false end
  if start == "hang" then sleep(FOR_EVER) end
  local started = Process.start_instance(self, build)
  if start == "lost" then error("the answer is lost, as the build wishes: the instance runs", 0) end
  local handle = started.handle
  handle.check, handle.stop, handle.stop_time = wish.check, wish.stop, wish.stop_time
  return { handle = handle, status = list.concat({ "fake" }, started.status) }
end

function Fake:stop_instance(handle, fast)
  if handle then
    sleep(handle.stop_time or 0)
    if handle.stop == "error" then error("an error, as the build wishes", 0) end
    if handle.stop == "hang" then sleep(FOR_EVER) end
  end
  Process.stop_instance(self, handle, fast)
end

function Fake:check_instance(handle)
  if handle.check then return false, handle.check .. " (as the build wishes)" end
  return Process.check_instance(self, handle)
end

Fake.list_instances = Process.list_instances

function Fake:check_config()
  Process.check_config(self)
  wishes(self)
end

return Fake
