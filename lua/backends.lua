-- Backends of one's own: the instance as one call of its methods sees it, what they are given, and what they may answer.
local P = ...
local G, host, lib, records, NULL = P.globals, P.host, P.lib, P.records, P.null
local setmetatable, type, pairs, ipairs, error, tostring, next = lib.setmetatable, lib.type, lib.pairs, ipairs, lib.error, lib.tostring, next
local sort, describe, rawget, is_plain = lib.sort, P.describe, lib.rawget, P.is_plain

-- Ways to fail whose meaning is known: nothing was started.
local failures = setmetatable({}, { __mode = "k" })
local failure_mt = {
  __name = "failure", __metatable = "failure", __newindex = function() error("a failure takes no fields", 0) end,
  __tostring = function(f) return f.message end,
}
local function fail(kind, message, seconds, place)
  if type(message) ~= "string" or message == "" then error(("latent.%s needs a text that says why, got %s"):format(kind, describe(message)), 0) end
  local failure = setmetatable({ message = message }, failure_mt)
  -- Backends that ship have no place in the configuration.
  local at = host.place_text(place or host.place())
  if at:sub(1, 1) == ":" then at = nil end
  failures[failure] = { failure = kind, message = message, seconds = seconds, place = at }
  error(failure, 0)
end

G.latent = {
  capacity = function(message) fail("capacity", message) end,
  config_error = function(message) fail("config_error", message) end,
  retry = function(message, seconds)
    if seconds == nil or seconds == NULL then seconds = 60 end
    if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= 86400) then
      error("latent.retry needs the seconds until the next try second (at most a day), got " .. describe(seconds), 0)
    end
    fail("retry", message, seconds)
  end,
}

-- What kind of failure was raised, for tests.
function P.failure_of(raised) return type(raised) == "table" and failures[raised] or nil end

-- Fields that calls set, for each instance and worker: they are kept as long as the configuration.
local kept = setmetatable({}, { __mode = "k" })

local whom = setmetatable({}, { __mode = "k" }) -- `self` of a call -> what the host said

-- `self` of one call: what the host says, then what was rendered, then what calls have set, then the instance itself.
local function view(self, facts)
  local record = records[self]
  local info = record.info
  kept[self] = kept[self] or {}
  local fields = kept[self][facts.name] or {}
  kept[self][facts.name] = fields
  local values, wrong = {}, facts.unrendered or {}
  for name, value in next, facts.rendered or {} do
    if value == NULL then value = nil elseif type(value) == "table" then P.clean(value) end
    local arg = P.declared_arg(info, name)
    if arg and not P.fits(value, arg.kind) then
      wrong[name] = ("'%s' must be %s, got %s"):format(name, (arg.kind:gsub("%?$", "")), describe(value))
    else
      values[name] = value
    end
  end
  local given, is_given = {}, {}
  for _, name in ipairs{ "name", "password", "launch_id", "master_id", "master_host", "master_port" } do
    local value = facts[name]
    if value == NULL then value = nil end
    given[name], is_given[name] = value, true
  end
  given.workername, is_given.workername = given.name, true
  local is_rendered = {}
  for name in next, facts.rendered or {} do is_rendered[name] = true end
  local seen = setmetatable({}, {
    __index = function(_, key)
      if is_given[key] then return given[key] end
      if fields[key] ~= nil then return fields[key] end
      if wrong[key] then error(wrong[key], 0) end
      if is_rendered[key] then return values[key] end
      local arg = info.decl.by_name[key]
      local value
      if arg and arg.secret and arg.of_backend then value = P.given(record, arg) else value = self[key] end
      if value == NULL then return nil end
      return value
    end,
    __newindex = function(_, key, value)
      if is_given[key] then error(("self.%s is what the host says and can't be set"):format(key), 0) end
      fields[key] = value
    end,
    __name = info.name, __metatable = "object",
    __tostring = function() return ('%s "%s"'):format(info.name, facts.name) end,
  })
  records[seen], whom[seen] = record, given
  return seen, wrong
end

P.backend_view = view

-- An instance without what differs from build to build.
local function constant(self, info)
  return setmetatable({}, {
    __index = function(_, key)
      local value = self[key]
      if value == NULL or (info.decl.by_name[key] and P.to_render(value)) then return nil end
      return value
    end,
    __name = info.name, __metatable = "object",
  })
end

-- What a start that left no handle has started, as far as it is listed.
local function listed_handle(seen)
  for _, instance in ipairs(seen:list_instances()) do
    if instance.launch_id == seen.launch_id then return instance.handle end
  end
end

local methods = { "start_instance", "stop_instance", "check_instance", "list_instances" }

-- Does a class of the file change anything of a backend that is the host's own?
local function changes(info)
  for _, name in ipairs(methods) do
    if P.own_member(info, name) ~= nil then return true end
  end
  return P.own_member(info, "launch_choices") ~= nil
end

function P.bind_backend(self, record)
  local info, bound, rendered, args = record.info, {}, {}, {}
  -- One that lacks start_instance is told so, if it has another of them.
  local has = false
  for _, name in ipairs(methods) do has = has or P.lookup(info, name) ~= nil end
  if not has or (P.of_host[info.decl.name] and not changes(info)) then return end
  for _, name in ipairs(methods) do
    local method = P.lookup(info, name)
    if type(method) == "function" then
      bound[name] = function(facts, ...)
        local seen, wrong = view(self, facts)
        if name == "start_instance" then
          local names = {}
          for name in next, wrong do names[#names + 1] = name end
          sort(names)
          if names[1] then fail("config_error", wrong[names[1]], nil, record.place) end
        end
        if name == "stop_instance" then
          local handle, fast = ...
          if handle == nil and P.lookup(info, "list_instances") ~= nil then handle = listed_handle(seen) end
          return method(seen, handle, fast)
        end
        return method(seen, ...)
      end
      P.origins[bound[name]] = method
    end
  end
  for name in pairs(record.declared or {}) do
    local arg, value = P.declared_arg(info, name), lib.rawget(self, name)
    args[name] = value
    if value ~= nil and P.is_rendered(info, arg) and P.to_render(value) then rendered[#rendered + 1] = name end
  end
  for _, arg in ipairs(info.decl.arguments) do
    local value = nil
    -- What a backend of the host is told it reads itself.
    if arg.of_backend and not P.of_host[info.decl.name] then value = P.given(record, arg) end
    args[arg.name] = value
    -- A function that is the argument itself is called by the backend.
    local own = type(value) == "function" and arg.takes_functions
    if value ~= nil and (arg.renderable or arg.secret) and not own and P.to_render(value) then rendered[#rendered + 1] = arg.name end
  end
  sort(rendered)
  -- Where a class of the file stops them, its handles are its own affair.
  local by_handle = P.lookup(info, "_stops_by_handle")
  record.own = { methods = bound, args = args, rendered = rendered,
    stops_by_handle = by_handle ~= nil and by_handle == P.lookup(info, "stop_instance") }
  local check = P.lookup(info, "check_config")
  if type(check) == "function" then
    local ok, why = lib.xpcall(check, function(e) return host.error_text(e) or tostring(e) end, constant(self, info))
    if not ok then host.mistake(why, P.subject_of(record), record.place) end
  end
end

local function known_failure(e)
  -- Taken as it is; anything else with the stack that led there.
  if type(e) == "table" and failures[e] then return e end
  return host.caught(e)
end

local function short_texts(list, what)
  local texts = {}
  for i, item in ipairs(list) do
    if type(item) == "number" then item = tostring(item) end
    if type(item) ~= "string" then error(("%s: item %d must be a short text, got %s"):format(what, i, describe(item)), 0) end
    texts[i] = item
  end
  for key in next, list do
    if type(key) ~= "number" then error(("%s has the unknown name '%s'"):format(what, tostring(key)), 0) end
  end
  return texts
end

local parts = { handle = true, status = true, price_per_hour = true }
local function started(answer)
  if P.nothing(answer) or answer == true then return {} end
  if answer == false then return { failure = "capacity", message = "start_instance returned false: not now" } end
  if not is_plain(answer) then
    error("must return { handle = …, status = { … } }, a list of short texts, false or nothing, got " .. describe(answer), 0)
  end
  local named = false
  for name in next, answer do named = named or type(name) == "string" end
  if not named then return { status = short_texts(answer, "the list that it returned") } end
  for name in next, answer do
    if not parts[name] then
      local near = type(name) == "string" and host.nearest(name, { "handle", "status", "price_per_hour" })
      error(("returned a table with the unknown name '%s'%s"):format(tostring(name), near and (" (did you mean '" .. near .. "'?)") or ""), 0)
    end
  end
  local status, price = answer.status, answer.price_per_hour
  if type(status) == "string" then status = { status } end
  if not P.nothing(status) and not is_plain(status) then error("status must be a list of short texts, got " .. describe(status), 0) end
  if not P.nothing(price) and (type(price) ~= "number" or not (price >= 0 and price < 1e9)) then
    error("price_per_hour must be a number, got " .. describe(price), 0)
  end
  if P.nothing(price) then price = nil end
  return { handle = answer.handle, status = short_texts(P.nothing(status) and {} or status, "status"), price = price }
end

local invoke = P.invoke

function invoke.start_instance(f, facts, input)
  local build = P.build_of(input.build, P.properties_of(input.properties))
  local ok, answer = lib.xpcall(f, known_failure, facts, build)
  if ok then return started(answer) end
  local known = type(answer) == "table" and failures[answer]
  if not known then error(answer, 0) end
  return { failure = known.failure, message = known.message, seconds = known.seconds, place = known.place }
end

local function handle_of(handle)
  if handle == NULL then return nil end
  if type(handle) == "table" then P.clean(handle) end
  return handle
end

function invoke.stop_instance(f, facts, handle, fast)
  if f(facts, handle_of(handle), fast) == false then error("returned false: the instance is not known to be gone", 0) end
end

function invoke.check_instance(f, facts, handle)
  local good, why = f(facts, handle_of(handle))
  if good == true then return { good = true } end
  if good ~= false then error("must return true, or false and why it is not well, got " .. describe(good), 0) end
  if P.nothing(why) then why = "check_instance says that it is not well" end
  if type(why) ~= "string" then error("the second result must be a text, got " .. describe(why), 0) end
  return { good = false, why = why }
end

function invoke.list_instances(f, facts)
  local answer = f(facts)
  if not is_plain(answer) then error("must return a list of { handle = …, launch_id = … }, got " .. describe(answer), 0) end
  local list = {}
  for i, item in ipairs(answer) do
    if not is_plain(item) then error(("item %d must be { handle = …, launch_id = … }, got %s"):format(i, describe(item)), 0) end
    local launch = item.launch_id
    if type(launch) ~= "string" or launch == "" then
      error(("item %d has no launch_id: list the instances that carry this master's mark only (self.master_id), got %s"):format(i, describe(launch)), 0)
    end
    list[i] = { launch_id = launch, handle = item.handle }
  end
  if #list == 0 and next(answer) ~= nil then error("must return a list of { handle = …, launch_id = … }, got a table of names", 0) end
  return { instances = list }
end

-- EC2: its methods are the host's own. A class that extends it may call them as Class.super.METHOD(self, …).
P.of_host = { EC2LatentWorker = true, EC2LatentBuildSlave = true }

local function ask(self, what, args)
  local facts = whom[self]
  if not facts then
    local call = what == "aws" and "self:aws(…)" or ("Class.super.%s(self, …)"):format(what)
    error(("%s belongs into a method that the host calls: write %s there"):format(what, call), 0)
  end
  local answer = host.super_ask(facts.name, facts.launch_id, what, args)
  if answer.failure then fail(answer.failure, answer.message, answer.seconds) end
  return answer.value
end

local ec2 = {}
function ec2:launch_choices() return ask(self, "launch_choices", {}) end
function ec2:start_instance(build)
  local own = P.own_member(records[self].info, "launch_choices")
  if not own then return ask(self, "start_instance", {}) end
  local choices = self:launch_choices(build)
  if not is_plain(choices) or #choices == 0 then
    error("launch_choices must return a list of { instance_type = …, subnet_id = …, placement = …, ami = …, spot_price = … }, got " .. describe(choices), 0)
  end
  return ask(self, "start_instance", { choices = choices })
end
function ec2:stop_instance(handle, fast) return ask(self, "stop_instance", { handle = handle, fast = fast == true }) end
function ec2:check_instance(handle)
  local answer = ask(self, "check_instance", { handle = handle })
  return answer.good, answer.why
end
function ec2:list_instances() return ask(self, "list_instances", {}) end
-- A call of Amazon's Query API with the worker's keys and region.
function ec2:aws(service, action, params)
  if type(service) ~= "string" or type(action) ~= "string" then
    error(('self:aws needs the names of a service and of an action: self:aws("ec2", "CreateTags", { … }), got %s and %s'):format(
      describe(service), describe(action)), 0)
  end
  if P.nothing(params) then params = nil end
  if params ~= nil and not is_plain(params) then error("self:aws: the parameters must be a table, got " .. describe(params), 0) end
  return ask(self, "aws", { service = service, action = action, params = params })
end
for name in next, P.of_host do P.add_members(rawget(G.worker, name), ec2) end
