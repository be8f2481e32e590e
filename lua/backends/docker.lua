-- Workers in containers: what `DockerLatentWorker` does, over the engine's HTTP interface. One container for each launch, named after it, so
-- that a second start with one launch id starts nothing; labels say whose it is. It never touches a container without this master's label.
local spec = ...
local Docker = {}

local MASTER, LAUNCH, WORKER = "buildmoon.master", "buildmoon.launch", "buildmoon.worker"
-- A pull or a build may take as long as the start may.
local LONG = 86400
-- Until an engine that does not answer is asked again.
local AWAY = 15
-- Until an image that could not be built is built again.
local REBUILD = 300
-- What a container has to end by itself before it is killed.
local GRACE = 10
local SHOWN_LINES = 20
local MOST_LINES = 500
local LARGEST_CONTEXT = 64 << 20

local function config_error(...) error(latent.config_error(...), 0) end
local function retry(...) error(latent.retry(...), 0) end

-- What is wrong with an argument that was rendered is no retry's matter.
local function sure(f, ...)
  local ok, first, second = pcall(f, ...)
  if not ok then config_error(first) end
  return first, second
end

-- REQUESTS ------------------------------------------------------------------------------------------------------------

local function auto_version(version)
  version = version and tostring(version) or ""
  if version == "" or version == "auto" then return "" end
  return "/v" .. version:gsub("^v", "")
end

-- One request to an engine; the answer, whatever its status. An engine that does not answer raises.
local function ask(self, host, method, path, options)
  if type(host) ~= "string" then error("docker_host is not text: an engine that is found for each build can't be asked afterwards", 0) end
  local engine = spec.engine(host, self.tls)
  local request = dict.merge({ method = method, url = engine.base .. auto_version(self.version) .. path, timeout = 60 },
    spec.tls(self.tls), options or {})
  request.unix_socket = engine.unix_socket
  request.proxy = engine.unix_socket and None or request.proxy
  return http.request(request)
end

local function away(self, why) retry(("the engine %s does not answer: %s"):format(self.docker_host, why), AWAY) end

-- The same before anything was started: an engine that is away is asked again later.
local function ask_first(self, method, path, options)
  local ok, answer = pcall(ask, self, self.docker_host, method, path, options)
  if not ok then away(self, answer) end
  if answer.status >= 500 then retry(("the engine %s: %s"):format(self.docker_host, spec.message(answer)), AWAY) end
  return answer
end

-- Progress, one JSON object a line, goes to the log; an error among it is returned.
local function follow(self, what, method, path, options)
  options = dict.merge({ timeout = LONG, stream = true }, options or {})
  local ok, answer = pcall(ask, self, self.docker_host, method, path, options)
  if not ok then away(self, answer) end
  if answer.status >= 300 then return spec.message{ status = answer.status, text = answer.body:read("a") or "" }, answer.status end
  local wrong
  for line in answer.body:lines() do
    local ok, step = pcall(json.decode, line)
    if ok and type(step) == "table" then
      if step.error then wrong = tostring(step.error) end
      local said = step.stream or (not step.progressDetail and step.status)
      if type(said) == "string" and text.strip(said) ~= "" then log.info(("%s: %s: %s"):format(self.name, what, text.strip(said))) end
    end
  end
  return wrong, answer.status
end

-- IMAGES --------------------------------------------------------------------------------------------------------------

-- The password of a registry, as `docker login` left it on this machine.
local function registry_auth(image)
  local home = os.getenv("DOCKER_CONFIG") or (os.getenv("HOME") and os.getenv("HOME") .. "/.docker")
  local file = home and home .. "/config.json"
  if not file or not fs.is_file(file) then return nil end
  local registry = spec.registry(image)
  local logins = json.decode(fs.read(file)).auths
  local known = logins and (logins[registry] or logins["https://" .. registry])
  if not known or not known.auth then return nil end
  local user, password = base64.decode(known.auth):match("^(.-):(.*)$")
  if not user then return nil end
  local told = json.encode{ username = user, password = password:gsub("%z+$", ""), serveraddress = registry }
  -- URL-safe, but with the padding.
  return { ["X-Registry-Auth"] = (base64.encode(told):gsub("[+/]", { ["+"] = "-", ["/"] = "_" })) }
end

local function pull(self, image)
  local name, tag = spec.image_parts(image)
  local wrong = follow(self, "pull of " .. image, "POST", "/images/create",
    { params = { fromImage = name, tag = tag }, headers = registry_auth(image) })
  if not wrong then return end
  -- What the registry does not have, or does not give, will not be there in a minute.
  if spec.is_wrong_image(wrong) then config_error(("the image %s can't be pulled: %s"):format(image, wrong)) end
  retry(("the image %s can't be pulled: %s"):format(image, wrong))
end

-- What the engine builds from: an archive as bytes.
local function context(self)
  if not self.custom_context then return spec.archive("Dockerfile", self.dockerfile) end
  if fs.is_dir(self.dockerfile) then
    return process.run({ "tar", "-C", self.dockerfile, "-cf", "-", "." }, { check = true, max_output = LARGEST_CONTEXT }).stdout
  end
  if not fs.is_file(self.dockerfile) then
    config_error(("dockerfile: with custom_context it is an archive or a folder, and there is no %q"):format(self.dockerfile))
  end
  return process.run({ "cat", fs.realpath(self.dockerfile) }, { check = true, max_output = LARGEST_CONTEXT }).stdout
end

local function build_image(self, image)
  local custom = self.custom_context
  local headers = { ["Content-Type"] = "application/x-tar" }
  if custom and not fs.is_dir(self.dockerfile) and self.encoding then headers["Content-Encoding"] = self.encoding end
  local args = self.buildargs and next(self.buildargs) and json.encode(spec.texts(self.buildargs)) or nil
  local wrong, status = follow(self, "build of " .. image, "POST", "/build", {
    params = { t = image, rm = true, forcerm = true, buildargs = args, target = self.target ~= "" and self.target or nil },
    headers = headers, body = context(self),
  })
  if not wrong then return end
  local why = ("the image %s can't be built: %s"):format(image, wrong)
  -- What it could not fetch may be there later; what the Dockerfile says wrong stays so.
  if (status >= 400 and status < 500) or spec.is_wrong_dockerfile(wrong) then config_error(why) end
  retry(why, REBUILD)
end

-- The image's name, when it is there.
local function image_of(self)
  local image = self.image
  if (image == nil or image == "") and not self.dockerfile then config_error("neither 'image' nor 'dockerfile' names anything for this build") end
  if image == nil or image == "" then
    -- Named by what it is made of: one that is there is the same.
    local made_of = { self.dockerfile, tostring(self.custom_context), self.target or "", json.encode(self.buildargs or {}) }
    if self.custom_context then made_of[1] = hash.sha256(context(self)) end
    image = "buildmoon-" .. hash.sha256(table.concat(made_of, "\0")):sub(1, 32) .. ":latest"
  end
  if type(image) ~= "string" then config_error("'image' must be text, got " .. text.repr(image)) end
  if self.alwaysPull and self.image then pull(self, image) end
  local there = ask_first(self, "GET", "/images/" .. url.quote(image) .. "/json")
  if there.status == 404 then
    if self.dockerfile then
      build_image(self, image)
    elseif self.autopull and not self.alwaysPull then
      pull(self, image)
    else
      config_error(("the engine %s has no image %s; autopull = true would fetch it"):format(self.docker_host, image))
    end
    there = ask_first(self, "GET", "/images/" .. url.quote(image) .. "/json")
  end
  if there.status ~= 200 then config_error(("the image %s: %s"):format(image, spec.message(there))) end
  local about = ask_first(self, "GET", "/version")
  local runs = about.status == 200 and about.json.Os
  if runs and there.json.Os and runs ~= there.json.Os then
    config_error(("the image %s is for %s, and the engine %s runs %s"):format(image, there.json.Os, self.docker_host, runs))
  end
  return image
end

-- CONTAINERS ----------------------------------------------------------------------------------------------------------

-- Where the worker finds the master: what was said, or this machine's name.
local function master_address(self)
  local said = self.masterFQDN
  local host, port = (said or ""):match("^(.*):(%d+)$")
  return host or said or self.master_host or util.fqdn(), port or (self.master_port and tostring(self.master_port))
end

-- What the container is made of, as the engine takes it; a class of one's own may change it.
function Docker:container_spec(build)
  local config = sure(spec.hostconfig, self.hostconfig)
  local binds, own = sure(spec.volumes, self.volumes)
  if #binds > 0 then config.Binds = list.concat(config.Binds, binds) end
  local host, port = master_address(self)
  local env = {
    "BUILDMASTER=" .. host, "WORKERNAME=" .. self.name, "WORKERPASS=" .. self.password,
    "BUILDMASTER_PROTOCOL=" .. (self.master_protocol or "pb"),
  }
  if port then env[#env + 1] = "BUILDMASTER_PORT=" .. port end
  local command = self.command
  if type(command) == "string" then command = sure(spec.words, command) end
  return {
    Image = self._image, Cmd = command and #command > 0 and list.map(command, tostring) or nil, Hostname = self.hostname, Env = env,
    Labels = { [MASTER] = self.master_id, [LAUNCH] = self.launch_id, [WORKER] = self.name },
    HostConfig = next(config) and config or nil, Volumes = next(own) and own or nil,
  }
end

-- What it wrote, without its password. `about` is what the engine says of it.
local function output(self, handle, about, which)
  local answer = ask(self, handle.docker_host, "GET", "/containers/" .. handle.container .. "/logs",
    { params = dict.merge({ stdout = 1, stderr = 1 }, which), timeout = 20 })
  if answer.status ~= 200 then return {} end
  return text.lines(spec.without_password(spec.output(answer.text), about.Config and about.Config.Env))
end

-- The last lines that it wrote, for a message.
local function tail(self, handle, about)
  local ok, lines = pcall(output, self, handle, about, { tail = SHOWN_LINES })
  if not ok then return "" end
  return #lines > 0 and "; its last lines:\n" .. table.concat(spec.last_lines(lines, SHOWN_LINES), "\n") or "; it wrote nothing"
end

-- Gone when this returns; also if it was not there.
local function remove(self, host, id)
  for _ = 1, 60 do
    local answer = ask(self, host, "DELETE", "/containers/" .. id, { params = { v = true, force = true }, timeout = 300 })
    if answer.status == 404 then return end
    -- 409: somebody else removes it at this moment.
    if answer.status ~= 204 and answer.status ~= 409 then error("the container can't be removed: " .. spec.message(answer), 0) end
    if answer.status == 204 then return end
    sleep(1)
  end
  error("the container is being removed for a minute and is still there", 0)
end

function Docker:start_instance(build)
  if type(self.docker_host) ~= "string" then config_error("'docker_host' must be text, got " .. text.repr(self.docker_host)) end
  self._image = image_of(self)
  local body = self:container_spec(build)
  if type(body) ~= "table" then config_error("container_spec must return the table that it made, got " .. text.repr(body)) end
  -- Whatever an override did: without these it could never be found again.
  body.Labels = dict.merge(body.Labels, { [MASTER] = self.master_id, [LAUNCH] = self.launch_id, [WORKER] = self.name })
  local name = ("buildmoon-%s-%s"):format((self.name:gsub("[^%w_.-]", "_")), self.launch_id)
  -- From here on an answer that is lost leaves it open what there is; it is found by its label.
  local made = ask(self, self.docker_host, "POST", "/containers/create", { params = { name = name }, json = body })
  if made.status == 400 or made.status == 404 then config_error("the container can't be made: " .. spec.message(made)) end
  -- 409: an earlier call with this launch id has made it.
  if made.status ~= 201 and made.status ~= 409 then error("the container can't be made: " .. spec.message(made), 0) end
  for _, warning in ipairs(made.status == 201 and made.json.Warnings or {}) do log.warn(self.name .. ": " .. warning) end
  local id = made.status == 201 and made.json.Id or nil
  if not id then
    local there = ask(self, self.docker_host, "GET", "/containers/" .. name .. "/json")
    if there.status ~= 200 then error("the container was there a moment ago: " .. spec.message(there), 0) end
    id = there.json.Id
  end
  local begun = ask(self, self.docker_host, "POST", "/containers/" .. id .. "/start", { timeout = 300 })
  if begun.status >= 300 and begun.status ~= 304 then
    local wrong = "the container can't be started: " .. spec.message(begun)
    remove(self, self.docker_host, id)
    if spec.is_lasting(begun) then config_error(wrong) end
    retry(wrong)
  end
  return { handle = { container = id, docker_host = self.docker_host }, status = { "container", id:sub(1, 12), self._image } }
end

function Docker:stop_instance(handle, fast)
  -- The start left no handle, and no container has the launch's label.
  if handle == nil then return end
  local host, id = handle.docker_host, handle.container
  if not fast then
    local answer = ask(self, host, "POST", "/containers/" .. id .. "/stop", { params = { t = GRACE }, timeout = GRACE + 60 })
    if answer.status == 404 then return end
  end
  remove(self, host, id)
end

-- New lines of its output, once each.
local function show_output(self, handle, about)
  local id = handle.container
  local since, now = (self._shown or {})[id] or 0, math.floor(time.now())
  if since >= now then return end
  -- Only the newest: a container that writes without end must not fill the log.
  local lines = output(self, handle, about, { since = since, ["until"] = now, tail = MOST_LINES })
  self._shown = { [id] = now }
  for _, line in ipairs(lines) do log.info(("%s: container %s: %s"):format(self.name, id:sub(1, 12), line)) end
end

-- The handle says where: it can be stopped from there whatever the worker is told now.
Docker._stops_by_handle = Docker.stop_instance

function Docker:check_instance(handle)
  local answer = ask(self, handle.docker_host, "GET", "/containers/" .. handle.container .. "/json", { timeout = 20 })
  if answer.status == 404 then return false, "the container is gone" end
  if answer.status ~= 200 then error(spec.message(answer), 0) end
  if self.followStartupLogs then show_output(self, handle, answer.json) end
  local state = answer.json.State
  if state.Running or state.Restarting then return true end
  if state.Status == "created" then return false, "the container was made and never started" end
  local why = ("the container ended with exit code %s%s"):format(state.ExitCode, state.OOMKilled and ", out of memory" or "")
  if state.Error and state.Error ~= "" then why = why .. " (" .. state.Error .. ")" end
  return false, why .. tail(self, handle, answer.json)
end

function Docker:list_instances()
  local answer = ask(self, self.docker_host, "GET", "/containers/json",
    { params = { all = true, filters = json.encode{ label = { MASTER .. "=" .. self.master_id } } } })
  if answer.status ~= 200 then error("the containers can't be listed: " .. spec.message(answer), 0) end
  local found = {}
  for _, container in ipairs(answer.json) do
    local launch = (container.Labels or {})[LAUNCH]
    if launch and container.State ~= "removing" then
      found[#found + 1] = { launch_id = launch, handle = { container = container.Id, docker_host = self.docker_host } }
    end
  end
  return found
end

-- What is wrong whatever the build: said when the file is read.
function Docker:check_config()
  if self.docker_host then spec.engine(self.docker_host, self.tls) end
  spec.tls(self.tls)
  if type(self.hostconfig) == "table" then spec.hostconfig(self.hostconfig) end
  spec.volumes(self.volumes)
  if type(self.command) == "string" then spec.words(self.command) end
end

return Docker
