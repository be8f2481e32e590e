-- What a container is made of, as the engine's API wants it: pure functions of plain tables, no request is made here.
-- Errors are plain texts; whoever calls says which worker they are about.
local M = {}

local function fail(text, ...) error(text:format(...), 0) end

-- WHERE THE ENGINE IS -------------------------------------------------------------------------------------------------

-- The address as `http` takes it: `{ base = URL, unix_socket = FILE }`.
function M.engine(host, tls)
  if type(host) ~= "string" or host == "" then fail("docker_host must be text such as \"unix:///var/run/docker.sock\"") end
  local scheme, rest = host:match("^(%a[%w+.-]*)://(.*)$")
  if scheme == "unix" then
    if rest:sub(1, 1) ~= "/" then rest = "/" .. rest end -- as in unix://var/run/docker.sock
    return { base = "http://docker", unix_socket = rest }
  end
  if scheme == "tcp" or scheme == "http" or scheme == "https" then
    if rest == "" then fail("docker_host %q names no host", host) end
    local kind = (tls or scheme == "https") and "https" or "http"
    return { base = kind .. "://" .. rest:gsub("/+$", "") }
  end
  fail("docker_host %q must begin with unix://, tcp://, http:// or https://", host)
end

local TLS = { "client_cert", "ca_cert", "verify" }

-- Options of `http` for an engine that wants certificates: true, or `{ client_cert = { CERT, KEY }, ca_cert = FILE, verify = true }`.
function M.tls(tls)
  local options = {}
  if tls == nil or tls == false or tls == true then return options end
  for name in pairs(tls) do
    if not list.contains(TLS, name) then fail("tls: unknown key '%s'%s", tostring(name), M.hint(tostring(name), TLS)) end
  end
  options.cert = tls.client_cert
  if tls.verify == false then options.verify = false else options.verify = tls.ca_cert end
  return options
end

-- "(did you mean …?)" for a name within two edits of a known one.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local last = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and last or last + 1
      last = row[j]
      row[j] = math.min(cost, row[j] + 1, row[j - 1] + 1)
    end
  end
  return row[#b]
end

function M.hint(name, known)
  local best, near = 3, nil
  for _, candidate in ipairs(list.sorted(known)) do
    local far = distance(name:sub(1, 60):lower(), candidate:lower())
    if far < best then best, near = far, candidate end
  end
  return near and (" (did you mean '%s'?)"):format(near) or ""
end

-- HOSTCONFIG ----------------------------------------------------------------------------------------------------------

local API = text.split([[AutoRemove Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps BlkioWeight
  BlkioWeightDevice CapAdd CapDrop Cgroup CgroupParent CgroupnsMode ConsoleSize CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod
  CpuRealtimeRuntime CpuShares CpusetCpus CpusetMems DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch ExtraHosts
  GroupAdd IOMaximumBandwidth IOMaximumIOps Init IpcMode Isolation KernelMemory Links LogConfig MaskedPaths Memory MemoryReservation
  MemorySwap MemorySwappiness Mounts NanoCpus NetworkMode OomKillDisable OomScoreAdj PidMode PidsLimit PortBindings Privileged
  PublishAllPorts ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime SecurityOpt ShmSize StorageOpt Sysctls Tmpfs UTSMode Ulimits
  UsernsMode VolumeDriver VolumesFrom]])

-- Python's names that are not the API's with underscores.
local PYTHON = {
  mem_limit = "Memory", memswap_limit = "MemorySwap", mem_reservation = "MemoryReservation", mem_swappiness = "MemorySwappiness",
  read_only = "ReadonlyRootfs", dns_opt = "DnsOptions", uts_mode = "UTSMode", cgroupns = "CgroupnsMode",
  cpu_rt_period = "CpuRealtimePeriod", cpu_rt_runtime = "CpuRealtimeRuntime", device_read_bps = "BlkioDeviceReadBps",
  device_read_iops = "BlkioDeviceReadIOps", device_write_bps = "BlkioDeviceWriteBps", device_write_iops = "BlkioDeviceWriteIOps",
}

local function api_name(name)
  return PYTHON[name] or (name:gsub("^%l", string.upper):gsub("_(%l)", string.upper))
end

local function python_name(name)
  for python, api in pairs(PYTHON) do
    if api == name then return python end
  end
  return (name:gsub("(%l)(%u)", "%1_%2"):lower())
end

local UNITS = { b = 1, k = 1 << 10, m = 1 << 20, g = 1 << 30, t = 1 << 40 }

local function bytes(name, value)
  if math.type(value) == "integer" then return value end
  local digits, unit = tostring(value):lower():match("^(%d+)([bkmgt]?)b?$")
  local number, factor = digits and math.tointeger(tonumber(digits)), UNITS[unit == "" and "b" or unit]
  if not number or number > math.maxinteger // factor then
    fail("hostconfig: %s must be a number of bytes or text such as \"512m\", got %s", name, text.repr(value))
  end
  return number * factor
end

local function a_table(name, value, what)
  if type(value) ~= "table" then fail("hostconfig: %s must %s, got %s", name, what or "be a table", text.repr(value)) end
  return value
end

local function each(name, value, f)
  a_table(name, value)
  local made = {}
  if #value > 0 then
    for _, item in ipairs(value) do made[#made + 1] = f(item) end
  else
    for key, item in dict.sorted_pairs(value) do made[#made + 1] = f(key, item) end
  end
  return made
end

-- A list of tables, or one of them.
local function list_of_tables(name, value, is_one, f)
  if is_one(a_table(name, value)) then value = { value } end
  return list.map(value, function(item) return f(a_table(name, item, "hold tables")) end)
end

local function pairs_joined(by)
  return function(name, value)
    return each(name, value, function(key, item) return item == nil and key or tostring(key) .. by .. tostring(item) end)
  end
end

local function bind(key, item)
  if item == nil then return key end
  if type(item) ~= "table" then return key .. ":" .. tostring(item) end
  if item.bind == nil then fail("hostconfig: binds: %s must name the folder in the container: { bind = \"/there\" }", tostring(key)) end
  return ("%s:%s:%s"):format(key, item.bind, item.mode or (item.ro and "ro" or "rw"))
end

local function port(key)
  key = tostring(key)
  return key:find("/", 1, true) and key or key .. "/tcp"
end

local function binding(item)
  if type(item) ~= "table" then return { HostPort = item ~= nil and tostring(item) or "" } end
  if item.HostPort then return item end
  return { HostIp = tostring(item[1]), HostPort = item[2] and tostring(item[2]) or "" }
end

-- Values that the API wants in another shape than Python's client takes them.
local SHAPES = {
  Memory = bytes, MemorySwap = bytes, MemoryReservation = bytes, KernelMemory = bytes, ShmSize = bytes,
  ExtraHosts = pairs_joined(":"), Links = pairs_joined(":"),
  Binds = function(name, value) return each(name, value, bind) end,
  PortBindings = function(name, value)
    local made = {}
    each(name, value, function(key, item)
      local many = type(item) == "table" and type(item[1]) == "table"
      made[port(key)] = many and list.map(item, binding) or { binding(item) }
    end)
    return made
  end,
  Devices = function(name, value)
    return each(name, value, function(item)
      if type(item) ~= "string" then return a_table(name, item, "hold texts and tables") end
      local from, to, may = item:match("^([^:]+):?([^:]*):?([^:]*)$")
      if not from then fail("hostconfig: devices: %q is none", item) end
      return { PathOnHost = from, PathInContainer = to ~= "" and to or from, CgroupPermissions = may ~= "" and may or "rwm" }
    end)
  end,
  Ulimits = function(name, value)
    return list_of_tables(name, value, function(one) return one.Name or one.name end, function(item)
      return { Name = item.Name or item.name, Soft = item.Soft or item.soft, Hard = item.Hard or item.hard }
    end)
  end,
  LogConfig = function(name, value)
    a_table(name, value)
    return { Type = value.Type or value.type, Config = value.Config or value.config }
  end,
  RestartPolicy = function(name, value)
    if type(value) == "string" then return { Name = value } end
    a_table(name, value)
    return { Name = value.Name or value.name, MaximumRetryCount = value.MaximumRetryCount }
  end,
  Tmpfs = function(name, value)
    local made = {}
    each(name, value, function(key, item)
      if item == nil then key, item = tostring(key):match("^([^:]+):?(.*)$") end
      made[key] = item
    end)
    return made
  end,
}

-- `hostconfig` as the API takes it. Names may be those of Python's client (`network_mode`) or the API's own (`NetworkMode`).
function M.hostconfig(config)
  local made = {}
  for name, value in dict.sorted_pairs(config or {}) do
    if type(name) ~= "string" then fail("hostconfig must have names, as in { network_mode = \"host\" }") end
    local api = api_name(name)
    if not list.contains(API, api) then
      fail("hostconfig: unknown name '%s'%s", name, M.hint(name, list.concat(list.map(API, python_name), API)))
    end
    if value == None then value = nil end
    local shape = SHAPES[api]
    if value ~= nil and shape then value = shape(name, value) end
    made[api] = value
  end
  return made
end

-- Names and texts, whatever plain values they were.
function M.texts(given)
  local made = {}
  for name, value in pairs(given) do made[name] = tostring(value) end
  return made
end

-- VOLUMES -------------------------------------------------------------------------------------------------------------

-- "/host:/container[:mode]", or "/container" for a volume that ends with it: the binds and the containers' own.
function M.volumes(volumes)
  if volumes == nil then return {}, {} end
  if type(volumes) == "string" then volumes = { volumes } end
  if type(volumes) ~= "table" then fail("volumes must be a list of texts such as \"/host:/container:ro\", got %s", text.repr(volumes)) end
  local binds, own = {}, {}
  for i, volume in ipairs(volumes) do
    if type(volume) ~= "string" then fail("volumes[%d] must be text such as \"/host:/container:ro\", got %s", i, text.repr(volume)) end
    local from, to, mode = volume:match("^([^:]+):([^:]+):?([^:]*)$")
    if from then
      if mode ~= "" and not mode:find("^[%a,]+$") then fail("volumes[%d]: %q has no known mode, as ro or rw", i, volume) end
      binds[#binds + 1] = volume
    elseif volume:find("^/[^:]*$") then
      own[volume] = None
    else
      fail("volumes[%d]: %q must be \"/host:/container\", with :ro or :rw", i, volume)
    end
  end
  return binds, own
end

-- IMAGES --------------------------------------------------------------------------------------------------------------

-- Name and tag, or name and digest.
function M.image_parts(image)
  local name, digest = image:match("^(.-)@(.+)$")
  if name then return name, digest end
  local before, tag = image:match("^(.*):([^:/]+)$")
  if before then return before, tag end
  return image, "latest"
end

-- The registry whose password a pull needs, as the engine's own client files it.
function M.registry(image)
  local first = image:match("^([^/]+)/")
  if first and (first:find("[.:]") or first == "localhost") then return first end
  return "https://index.docker.io/v1/"
end

-- A tar archive of one file.
function M.archive(name, content)
  local function field(value, width) return value .. ("\0"):rep(width - #value) end
  local head = field(name, 100) .. "0000644\0" .. "0000000\0" .. "0000000\0" .. ("%011o\0"):format(#content) .. "00000000000\0"
  local tail = "0" .. ("\0"):rep(100) .. "ustar\0" .. "00" .. ("\0"):rep(32 + 32 + 8 + 8 + 155 + 12)
  local sum = 8 * 32
  for i = 1, #head do sum = sum + head:byte(i) end
  for i = 1, #tail do sum = sum + tail:byte(i) end
  return head .. ("%06o\0 "):format(sum) .. tail .. content .. ("\0"):rep(-#content % 512) .. ("\0"):rep(1024)
end

-- WHAT THE ENGINE ANSWERS ---------------------------------------------------------------------------------------------

-- Output of a container: frames of eight bytes' head each, or, with a terminal, the text itself.
function M.output(raw)
  if not raw:find("^[\0\1\2]\0\0\0") then return raw end
  local parts, at = {}, 1
  while at + 7 <= #raw do
    local length = string.unpack(">I4", raw, at + 4)
    parts[#parts + 1] = raw:sub(at + 8, at + 7 + length)
    at = at + 8 + length
  end
  return table.concat(parts)
end

-- An output without the password that the container found in its environment.
function M.without_password(output, environment)
  for _, variable in ipairs(environment or {}) do
    local password = variable:match("^WORKERPASS=(.+)$")
    if password then output = output:gsub((password:gsub("%W", "%%%0")), "***") end
  end
  return output
end

function M.last_lines(lines, count)
  local kept = {}
  for i = math.max(1, #lines - count + 1), #lines do kept[#kept + 1] = lines[i] end
  return kept
end

-- What an engine says of a request that failed.
function M.message(answer)
  local ok, said = pcall(json.decode, answer.text)
  if ok and type(said) == "table" and type(said.message) == "string" then return said.message end
  return ("it answered %d %s"):format(answer.status, text.strip(answer.text:sub(1, 200)))
end

local function has_one_of(said, signs)
  for _, sign in ipairs(signs) do
    if said:find(sign, 1, true) then return true end
  end
  return false
end

-- Will the same start fail again? An image without the program that is to run is wrong for ever, a machine without room is not.
function M.is_lasting(answer)
  if answer.status < 500 then return true end
  return has_one_of(M.message(answer), { "executable file not found", "no such file or directory", "permission denied", "invalid",
    "exec format error", "not a directory" })
end

-- What no second build of the same text will mend.
function M.is_wrong_dockerfile(said)
  return has_one_of(said, { "COPY failed", "ADD failed", "nknown instruction", "nknown flag", "parse error", "pull access denied",
    "manifest unknown", "invalid reference" })
end

-- What no second pull will bring.
function M.is_wrong_image(said)
  return has_one_of(said, { "not found", "manifest unknown", "denied", "unauthorized", "no basic auth", "invalid reference" })
end

-- A command line as a list, as a shell would part it: quotes and backslashes, nothing else.
function M.words(line)
  local words, word, quote = {}, nil, nil
  local at = 1
  while at <= #line do
    local c = line:sub(at, at)
    if quote then
      if c == quote then
        quote = nil
      elseif c == "\\" and quote == '"' and line:find('^["\\]', at + 1) then
        at = at + 1
        word = word .. line:sub(at, at)
      else
        word = word .. c
      end
    elseif c == "'" or c == '"' then
      quote, word = c, word or ""
    elseif c == "\\" then
      at = at + 1
      word = (word or "") .. line:sub(at, at)
    elseif c:find("%s") then
      if word then words[#words + 1] = word end
      word = nil
    else
      word = (word or "") .. c
    end
    at = at + 1
  end
  if quote then fail("command: a quote is not closed in %q", line) end
  if word then words[#words + 1] = word end
  return words
end

return M
