-- Workers on servers of an OpenStack cloud: what `OpenStackLatentWorker` does, over Nova's interface. The metadata of a server say whose it is
-- and for which launch it was made, so that a second start with one launch id finds the first one's. It never touches a server without
-- this master's mark, except one that it was given the handle of.
local api = ...
local OpenStack = {}

local MASTER, LAUNCH, WORKER = "buildmoon-master", "buildmoon-launch", "buildmoon-worker"
-- Between looks at a server that is built or deleted.
local SOON, LATER = 1, 5
-- How long one that could not be built may take to go away.
local GONE_WITHIN = 60
local GIB = 1 << 30
-- From this version on Nova takes "auto" and "none" as networks, and wants to be told some.
local NETWORK_WORDS = "2.37"

local function is_uuid(value)
  return regex.fullmatch("[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}", value) ~= nil
end

local function gone(server) return server.status == "DELETED" or server.status == "SOFT_DELETED" end

-- WHAT IS STARTED -----------------------------------------------------------------------------------------------------

local function flavor_of(self)
  local wanted = tostring(self.flavor)
  local there = api.ask_first(self, "compute", "GET", "/flavors/" .. url.quote(wanted, ""))
  if there.status == 200 then return there.json.flavor end
  if there.status ~= 404 and there.status ~= 400 then api.refused("the flavor " .. wanted, there) end
  local all, refusal = api.all(self, api.ask_first, "/flavors", "flavors")
  if not all then api.refused("the flavors can't be listed", refusal) end
  for _, flavor in ipairs(all) do
    if flavor.name == wanted then return flavor end
  end
  latent.config_error(("there is no flavor %q; there is %s"):format(wanted,
    #all == 0 and "none" or table.concat(list.map({ table.unpack(all, 1, 20) }, function(f) return f.name end), ", ")))
end

-- By id, or the newest one of that name.
local function image_named(self, wanted)
  if is_uuid(wanted) then
    local there = api.ask_first(self, "image", "GET", "/images/" .. url.quote(wanted, ""))
    if there.status == 200 then return there.json end
    if there.status ~= 404 then api.refused("the image " .. wanted, there) end
  end
  local found = api.images(self, { name = wanted, status = "active" })
  found = list.filter(found, function(image) return image.name == wanted and image.status == "active" end)
  if #found == 0 then latent.config_error(("there is no active image %q"):format(wanted)) end
  found = list.sorted(found, function(image) return { image.created_at or "", image.id } end)
  return found[#found]
end

-- A function is given all images and chooses one of them.
local function image_of(self)
  local wanted = self.image
  if wanted == nil or wanted == "" then return nil end
  if type(wanted) ~= "function" then return image_named(self, tostring(wanted)) end
  local chosen = wanted(api.images(self, { status = "active" }))
  if type(chosen) == "string" then return image_named(self, chosen) end
  if type(chosen) ~= "table" or type(chosen.id) ~= "string" then
    latent.config_error("the function of 'image' must give one of the images, or the name of one, got " .. text.repr(chosen))
  end
  return chosen
end

-- In Nova's words, images not looked for yet.
local function devices_as_given(self)
  local devices = {}
  for i, given in ipairs(self.block_devices or {}) do
    local device = dict.copy(given)
    device.source_type = device.source_type or "image"
    device.destination_type = device.destination_type or "volume"
    device.boot_index = tonumber(device.boot_index) or (i == 1 and 0 or -1)
    if device.delete_on_termination == nil then device.delete_on_termination = true end
    if device.source_type == "image" and device.uuid == nil then latent.config_error(("block_devices[%d] has no 'uuid'"):format(i)) end
    devices[i] = device
  end
  return devices
end

local function devices_of(self)
  local devices = devices_as_given(self)
  for _, device in ipairs(devices) do
    if device.source_type == "image" then
      local image = image_named(self, tostring(device.uuid))
      device.uuid = image.id
      if device.volume_size == nil and device.destination_type == "volume" then
        device.volume_size = math.max(image.min_disk or 0, math.ceil((image.size or 0) / GIB), 1)
      end
    end
  end
  return #devices > 0 and devices or nil
end

local function network_named(self, wanted)
  local answer = api.ask_first(self, "network", "GET", "/networks", { params = { name = wanted } })
  if answer.status ~= 200 then api.refused("the networks can't be listed", answer) end
  local found = answer.json.networks or {}
  if #found == 0 then latent.config_error(("there is no network %q"):format(wanted)) end
  if #found > 1 then latent.config_error(("there are %d networks of the name %q: give the id of one"):format(#found, wanted)) end
  return found[1].id
end

-- In Nova's words, from those of its client (`net-id`) or from names and ids.
local nic_names = { ["net-id"] = "uuid", net_id = "uuid", ["port-id"] = "port", port_id = "port", ["v4-fixed-ip"] = "fixed_ip", ["v6-fixed-ip"] = "fixed_ip" }
local function networks_of(self, given)
  if given == nil or given == "auto" or given == "none" then return given end
  if type(given) == "string" then given = { given } end
  local networks = {}
  for i, item in ipairs(given) do
    if type(item) == "string" then
      networks[i] = { uuid = is_uuid(item) and item or network_named(self, item) }
    else
      networks[i] = {}
      for name, value in pairs(item) do networks[i][nic_names[name] or name] = value end
    end
  end
  return networks
end

local function texts(what, given)
  local out = {}
  for name, value in pairs(given or {}) do
    if type(value) == "table" then latent.config_error(("%s: %s must be text, got %s"):format(what, tostring(name), text.repr(value))) end
    local shown = tostring(value)
    if #shown > 255 then latent.config_error(("%s: %s is longer than the 255 bytes that metadata take"):format(what, tostring(name))) end
    out[tostring(name)] = shown
  end
  return out
end

-- What Nova is asked for, and the names of its parts for people.
local function request_of(self)
  local flavor, image = flavor_of(self), image_of(self)
  local more = dict.copy(self.nova_args or {})
  local networks = truthy(self.networks) and self.networks or nil
  networks = networks_of(self, networks or more.networks or more.nics)
  local knows_words = api.is_at_least(self, NETWORK_WORDS)
  if networks == nil and knows_words then networks = "auto" end
  local user_data = self.user_data or more.user_data or more.userdata
  local metadata = dict.merge(texts("nova_args.meta", more.meta or more.metadata), texts("meta", self.meta), {
    [MASTER] = self.master_id, [LAUNCH] = self.launch_id, [WORKER] = self.name,
  })
  local groups = more.security_groups
  local hints = more.scheduler_hints
  for _, name in ipairs{ "networks", "nics", "user_data", "userdata", "meta", "metadata", "security_groups", "scheduler_hints" } do more[name] = nil end
  local server = dict.merge({ name = self.name }, more, {
    flavorRef = flavor.id,
    imageRef = image and image.id or nil,
    block_device_mapping_v2 = devices_of(self),
    networks = networks,
    user_data = user_data and user_data ~= "" and base64.encode(user_data) or nil,
    metadata = metadata,
    security_groups = groups and list.map(groups, function(group) return type(group) == "string" and { name = group } or group end) or nil,
  })
  local shown = { flavor.name or flavor.id, image and (image.name or image.id) or "block devices" }
  return { server = server, ["os:scheduler_hints"] = hints }, shown, type(networks) == "string" and not knows_words and NETWORK_WORDS or nil
end

-- SERVERS -------------------------------------------------------------------------------------------------------------

-- The server of this launch, if there is one. Nova finds names by a regular expression.
local function find(self, ask)
  local name = "^" .. self.name:gsub("[^%w_\128-\255-]", "\\%0") .. "$"
  local servers, refusal = api.all(self, ask, "/servers/detail", "servers", { name = name })
  if not servers then return nil, refusal end
  for _, server in ipairs(servers) do
    if server.metadata and server.metadata[MASTER] == self.master_id and server.metadata[LAUNCH] == self.launch_id and not gone(server) then return server end
  end
end

local function create(self, request, version)
  local ok, answer = pcall(api.ask, self, "compute", "POST", "/servers", { json = request, version = version })
  if not ok and type(answer) ~= "string" then error(answer, 0) end
  if ok and answer.status == 202 then return answer.json.server.id end
  if ok and answer.status < 500 then api.refused("the server can't be made", answer) end
  -- The answer was lost, not always the server.
  local made, refusal = find(self, api.ask)
  if made then return made.id end
  if refusal then error(("the server may have been made, and can't be looked for: %s"):format(api.message(refusal)), 0) end
  if ok and (answer.status == 500 or answer.status == 503) then api.refused("the server can't be made", answer) end
  error(("the server may have been made: %s"):format(ok and api.message(answer) or answer), 0)
end

-- Who no longer sees the place where a server was made does not know that it is gone.
local function delete(self, id, place)
  local answer = api.ask(self, "compute", "DELETE", "/servers/" .. url.quote(id, ""))
  if answer.status == 404 then
    if place and place ~= api.place(self) then
      error(("the server %s was made at %s and is not seen at %s: delete it there, or let the worker look there once more"):format(id, place, api.place(self)), 0)
    end
    return false
  end
  if answer.status ~= 204 and answer.status ~= 202 then error(("the server %s can't be deleted: %s"):format(id, api.message(answer)), 0) end
  return true
end

local function look(self, id) return api.ask(self, "compute", "GET", "/servers/" .. url.quote(id, "")) end

local function wait_gone(self, id)
  local pause = SOON
  while true do
    local answer = look(self, id)
    if answer.status == 404 or (answer.status == 200 and gone(answer.json.server)) then return end
    if answer.status == 200 and answer.json.server.status == "ERROR" and answer.json.server["OS-EXT-STS:task_state"] == nil then
      -- What failed is told again until it goes.
      delete(self, id)
    end
    sleep(pause)
    pause = math.min(pause + 1, LATER)
  end
end

local function fault_of(server)
  local fault = server.fault or {}
  return ("the server %s is in state ERROR%s"):format(server.id, fault.message and ": " .. fault.message or "")
end

-- Until it runs. One that can't be built is deleted here: nothing is left of it.
local function wait_active(self, id)
  local pause = SOON
  while true do
    local ok, answer = pcall(look, self, id)
    if not ok and type(answer) ~= "string" then error(answer, 0) end
    if ok and answer.status == 404 then latent.retry(("the server %s vanished while it was built"):format(id), 10) end
    local server = ok and answer.status == 200 and answer.json.server
    if server and server.status == "ERROR" then
      local why = fault_of(server)
      delete(self, id)
      timeout(GONE_WITHIN, wait_gone, self, id)
      if api.no_room(why) then latent.capacity(why) end
      latent.retry(why, 10)
    elseif server and gone(server) then
      latent.retry(("the server %s was deleted while it was built"):format(id), 10)
    elseif server and server.status ~= "BUILD" then
      return server
    end
    -- A look that fails says nothing about the server.
    sleep(pause)
    pause = math.min(pause + 1, LATER)
  end
end

function OpenStack:start_instance(build)
  local known, refusal = find(self, api.ask_first)
  if refusal then api.refused("the servers can't be listed", refusal) end
  local id, status = known and known.id, {}
  if not id then
    local request, shown, version = request_of(self)
    id, status = create(self, request, version), shown
  end
  wait_active(self, id)
  return { handle = { server = id, place = api.place(self) }, status = list.concat(status, { id }) }
end

function OpenStack:stop_instance(handle, fast)
  local id = type(handle) == "table" and handle.server or nil
  if handle == nil and self.launch_id then
    local server, refusal = find(self, api.ask)
    if refusal then error("the servers can't be listed: " .. api.message(refusal), 0) end
    if not server then return end
    id = server.id
  end
  if type(id) ~= "string" or id == "" then error("this is no handle of a server: " .. text.repr(handle), 0) end
  if not delete(self, id, handle and handle.place) or fast then return end
  wait_gone(self, id)
end

local well = list.set{ "ACTIVE", "BUILD", "REBOOT", "HARD_REBOOT", "PASSWORD", "MIGRATING", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE", "UNKNOWN" }
function OpenStack:check_instance(handle)
  local answer = look(self, handle.server)
  if answer.status == 404 then return false, "the server is gone" end
  if answer.status ~= 200 then error("the server can't be looked at: " .. api.message(answer), 0) end
  local server = answer.json.server
  if server.status == "ERROR" then return false, fault_of(server) end
  if not well[server.status] then return false, ("the server is in state %s"):format(server.status) end
  return true
end

function OpenStack:list_instances()
  local servers, refusal = api.all(self, api.ask, "/servers/detail", "servers")
  if not servers then error("the servers can't be listed: " .. api.message(refusal), 0) end
  local found, place = {}, api.place(self)
  for _, server in ipairs(servers) do
    local mark = server.metadata or {}
    if mark[MASTER] == self.master_id and mark[LAUNCH] and not gone(server) then
      found[#found + 1] = { launch_id = mark[LAUNCH], handle = { server = server.id, place = place } }
    end
  end
  return found
end

-- What is wrong whatever the build: said when the file is read.
function OpenStack:check_config()
  api.check_login(self)
  devices_as_given(self)
  texts("meta", self.meta)
end

return OpenStack
