-- Workers in virtual machines: what `LibVirtWorker` does, by `virsh` and `qemu-img`. A domain that is made here has the launch id as its UUID, so
-- that a second start with one launch id starts nothing; its metadata, and the names of disks, say whose they are. It never touches a
-- domain or a disk without this master's mark, and never writes to a base image.
local LibVirt = {}

local SPACE = "urn:buildmoon:instance"
-- Where Buildbot puts a worker's login, for whatever hands it to guests.
local LOGIN = "http://buildbot.net/"
local SHUTDOWN = 60
-- Until a hypervisor that does not answer is asked again.
local AWAY = 15
local AT_ONCE = 50

local function config_error(...) error(latent.config_error(...), 0) end
local function retry(...) error(latent.retry(...), 0) end

-- PROGRAMS ------------------------------------------------------------------------------------------------------------

local function run(argv, options)
  return process.run(argv, dict.merge({ env = { LC_ALL = "C", LANGUAGE = "C" }, timeout = 60 }, options or {}))
end

-- The first line that says what went wrong.
local function complaint(ran)
  local lines = {}
  for _, line in ipairs(text.lines(ran.stderr)) do
    line = text.strip((line:gsub("^error: ", "")))
    if line ~= "" then lines[#lines + 1] = line end
  end
  return #lines > 0 and table.concat(lines, ": ") or ("it ended with status " .. tostring(ran.status))
end

local function hypervisor(self, handle)
  local uri = handle and handle.uri or self.uri
  return uri == "system:///" and "qemu:///system" or uri
end

local function virsh(self, handle, command, options)
  return run(list.concat({ "virsh", "-q", "-c", hypervisor(self, handle) }, command), options)
end

local function is_away(ran) return ran.status ~= 0 and ran.stderr:find("failed to connect to the hypervisor", 1, true) ~= nil end
-- So it says of a domain that is not there, and of one that it could not ask for: only a list can tell.
local function is_missed(ran)
  return ran.status ~= 0 and (ran.stderr:find("failed to get domain", 1, true) or ran.stderr:find("Domain not found", 1, true)) ~= nil
end

local UUID = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"

-- The UUIDs of all domains, or their names.
local function all_domains(self, handle, column)
  local ran = virsh(self, handle, { "list", "--all", column })
  if ran.status ~= 0 then error("the domains can't be listed: " .. complaint(ran), 0) end
  return list.filter(list.map(text.lines(ran.stdout), text.strip), function(line) return line ~= "" end)
end

local function is_unknown(self, handle, domain, ran)
  return is_missed(ran) and not list.contains(all_domains(self, handle, domain:find(UUID) and "--uuid" or "--name"), domain)
end

-- Before anything was started: a hypervisor that is away is asked again later.
local function virsh_first(self, command, options)
  local ok, ran = pcall(virsh, self, nil, command, options)
  if not ok then
    if ran:find("there is no program", 1, true) then config_error("the program 'virsh' is needed on the master's machine (Debian: libvirt-clients)") end
    retry(ran, AWAY)
  end
  if is_away(ran) then retry("the hypervisor " .. hypervisor(self) .. " does not answer: " .. complaint(ran), AWAY) end
  return ran
end

-- XML -----------------------------------------------------------------------------------------------------------------

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["'"] = "&apos;", ['"'] = "&quot;" }
local NAMES = { amp = "&", lt = "<", gt = ">", apos = "'", quot = '"' }

local function quoted(value) return (tostring(value):gsub("[&<>'\"]", ENTITIES)) end
local function unquoted(value) return (value:gsub("&(%a+);", NAMES)) end

local function mark(self, disk)
  return ("<buildmoon:instance xmlns:buildmoon='%s' master='%s' launch='%s' worker='%s'%s/>"):format(SPACE, quoted(self.master_id),
    quoted(self.launch_id), quoted(self.name), disk and (" disk='%s'"):format(quoted(disk)) or "")
end

local function master_address(self)
  local said = self.masterFQDN or self.master_host or util.fqdn()
  if said:find(":%d+$") or not self.master_port then return said end
  return said .. ":" .. self.master_port
end

local function login(self)
  return ("<auth username='%s' password='%s' master='%s'/>"):format(quoted(self.name), quoted(self.password), quoted(master_address(self)))
end

-- What a domain's description says of whose it is.
local function marked(xml)
  local attributes = xml:match("<[%w_.-]*:?instance [^>]*" .. SPACE .. "[^>]*>")
  if not attributes then return nil end
  local found = {}
  for name, value in attributes:gmatch('([%w_:.-]+)%s*=%s*"([^"]*)"') do found[name] = unquoted(value) end
  for name, value in attributes:gmatch("([%w_:.-]+)%s*=%s*'([^'\"]*)'") do found[name] = found[name] or unquoted(value) end
  return found
end

-- One element of a domain in place of what was there.
local function with_element(xml, name, element)
  local stripped = xml:gsub("<" .. name .. "[%s>].-</" .. name .. ">", "", 1):gsub("<" .. name .. "%s*/>", "", 1)
  return (stripped:gsub("(<domain[^>]*>)", function(head) return head .. element end, 1))
end

-- The description with a name and a UUID of the launch's own, and the marks.
local function for_launch(self, xml, domain, disk)
  if not xml:find("<domain[%s>]") or not xml:find("</domain>", 1, true) then config_error("'xml' describes no domain: it has no <domain>") end
  local known = { name = self.name, password = self.password, master = master_address(self), hd_image = disk and disk.path or self.hd_image }
  xml = xml:gsub("{([%a_]+)}", function(key) return known[key] and quoted(known[key]) end)
  local marks = mark(self, disk and disk.made and disk.path)
    .. login(self):gsub("^<auth", ("<buildbot:auth xmlns:buildbot='%s'"):format(LOGIN))
  if xml:find("<metadata>", 1, true) then
    xml = xml:gsub("<metadata>", function(head) return head .. marks end, 1)
  else
    xml = with_element(xml, "metadata", "<metadata>" .. marks .. "</metadata>")
  end
  return with_element(with_element(xml, "uuid", "<uuid>" .. domain.uuid .. "</uuid>"), "name", "<name>" .. quoted(domain.name) .. "</name>")
end

local function generated(self, disk)
  local parts = { ("<domain type='%s'>"):format(quoted(self.domain_type)) }
  local function add(...) parts[#parts + 1] = (...):format(select(2, ...)) end
  add("<memory unit='MiB'>%d</memory><vcpu>%d</vcpu>", self.memory, self.vcpus)
  add("<os><type>hvm</type><boot dev='hd'/></os><features><acpi/><apic/></features>")
  if self.domain_type == "kvm" then add("<cpu mode='host-passthrough'/>") end
  add("<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash><devices>")
  add("<disk type='file' device='disk'><driver name='qemu' type='%s'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>",
    disk.format, quoted(disk.path))
  if self.network then add("<interface type='network'><source network='%s'/><model type='virtio'/></interface>", quoted(self.network)) end
  add("<serial type='pty'/><console type='pty'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>")
  return table.concat(parts)
end

-- DISKS ---------------------------------------------------------------------------------------------------------------

local function disk_name(self, launch) return ("buildmoon-%s-%s.qcow2"):format(hash.sha256(self.master_id):sub(1, 12), launch) end

-- Where disks that are made for one launch each lie; nil where `hd_image` is one file.
local function disk_folder(self)
  if self.hd_image and fs.is_dir(self.hd_image) then return self.hd_image end
  if self.base_image and not self.hd_image then return path.dirname(self.base_image) end
end

local function image_format(file)
  if not fs.is_file(file) then config_error(("there is no image %q"):format(file)) end
  local ran = run{ "qemu-img", "info", "-U", "--output=json", file }
  if ran.status ~= 0 then config_error(("the image %q can't be read: %s"):format(file, complaint(ran))) end
  return json.decode(ran.stdout).format
end

-- The disk of this launch: where it lies, and whether it has to be made. Nothing is made here.
local function disk_of(self)
  local folder = disk_folder(self)
  if not self.base_image then
    if folder then config_error(("hd_image %q is a folder: it needs a base_image to make disks from"):format(self.hd_image)) end
    return self.hd_image and { path = self.hd_image } or nil
  end
  return { path = folder and path.join(folder, disk_name(self, self.launch_id)) or self.hd_image, made = true }
end

local function make_disk(self, disk)
  if not disk then return end
  if not disk.made then
    disk.format = image_format(disk.path)
    return
  end
  local base = fs.is_file(self.base_image) and fs.realpath(self.base_image) or self.base_image
  local base_format = image_format(base)
  if disk.path == base then config_error("hd_image and base_image are the same file") end
  local command = { "cp", "--reflink=auto", "--sparse=always", "--", base, disk.path }
  disk.format = base_format
  if self.cheap_copy then
    command = { "qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", base, disk.path }
    disk.format = "qcow2"
  end
  local ran = run(command, { timeout = 3600 })
  if ran.status == 0 then return end
  fs.remove(disk.path)
  local why = ("the disk %s can't be made: %s"):format(disk.path, complaint(ran))
  if why:find("No space left", 1, true) then error(latent.capacity(why), 0) end
  config_error(why)
end

-- STARTING ------------------------------------------------------------------------------------------------------------

local function is_running(state) return state == "running" or state == "idle" or state == "paused" or state == "in shutdown" or state == "no state" end

local function state_of(self, handle, domain)
  local ran = virsh(self, handle, { "domstate", domain })
  if ran.status == 0 then return text.strip(ran.stdout) end
  if is_unknown(self, handle, domain, ran) then return nil end
  error(complaint(ran), 0)
end

local function unmark(self, handle, domain)
  for _, space in ipairs{ SPACE, LOGIN } do virsh(self, handle, { "metadata", domain, "--config", "--uri", space, "--remove" }) end
end

-- Nothing runs, and nothing is left of the try.
local function give_up(disk, why)
  if disk and disk.made then fs.remove(disk.path) end
  if why:find("annot allocate memory", 1, true) or why:find("ot enough", 1, true) then error(latent.capacity(why), 0) end
  config_error(why)
end

-- Through its input: what stands on a command line, such as the password, everybody on this machine can read.
local function set_metadata(self, key, space, element)
  local function word(value) return '"' .. value:gsub('[\\"]', "\\%0"):gsub("[\r\n]", { ["\r"] = "&#13;", ["\n"] = "&#10;" }) .. '"' end
  local command = list.map({ self.name, "--config", "--key", key, "--uri", space, "--set", element }, word)
  local ran = virsh(self, nil, {}, { stdin = "metadata " .. table.concat(command, " ") .. "\n" })
  -- Of a command that it read it does not tell the status.
  return ran.status == 0 and not ran.stderr:find("error:", 1, true), ran
end

-- The domain that libvirt knows by the worker's name.
local function start_defined(self, xml, disk)
  local handle = { uri = hypervisor(self), domain = self.name, defined = true, disk = disk and disk.made and disk.path or nil }
  local answer = { handle = handle, status = { "domain", self.name } }
  if is_running(state_of(self, nil, self.name)) then
    local whose = marked(xml)
    if whose and whose.launch == self.launch_id then return answer end
    retry(("the domain %s runs already, and this launch has not started it"):format(self.name), 60)
  end
  make_disk(self, disk)
  local elements = { { "buildmoon", SPACE, (mark(self, handle.disk):gsub("<buildmoon:instance xmlns:buildmoon='[^']*'", "<instance")) },
    { "buildbot", LOGIN, login(self) } }
  for _, element in ipairs(elements) do
    local done, ran = set_metadata(self, table.unpack(element))
    if not done then give_up(disk, ("the metadata of the domain %s can't be set: %s"):format(self.name, complaint(ran))) end
  end
  local ran = virsh(self, nil, { "start", self.name })
  if ran.status ~= 0 and is_running(state_of(self, nil, self.name)) then
    retry(("the domain %s was started by somebody else meanwhile"):format(self.name), 60)
  end
  if ran.status ~= 0 then
    unmark(self, nil, self.name)
    give_up(disk, ("the domain %s can't be started: %s"):format(self.name, complaint(ran)))
  end
  return answer
end

-- A domain of the launch's own, gone when it ends.
local function create(self, xml, disk)
  local id = self.launch_id
  local uuid = ("%s-%s-%s-%s-%s"):format(id:sub(1, 8), id:sub(9, 12), id:sub(13, 16), id:sub(17, 20), id:sub(21, 32))
  local domain = { uuid = uuid, name = ("%s-%s"):format(self.name, id:sub(1, 12)) }
  local handle = { uri = hypervisor(self), domain = uuid, disk = disk and disk.made and disk.path or nil }
  local answer = { handle = handle, status = { "domain", domain.name } }
  if state_of(self, nil, uuid) then return answer end
  if not xml and not disk then
    config_error(("libvirt knows no domain '%s', and there is neither xml nor an image to make one of"):format(self.name))
  end
  make_disk(self, disk)
  local ran = virsh(self, nil, { "create", "/dev/stdin" }, { stdin = for_launch(self, xml or generated(self, disk), domain, disk), timeout = 300 })
  if ran.status ~= 0 and state_of(self, nil, uuid) then return answer end
  if ran.status ~= 0 then give_up(disk, "the domain can't be made: " .. complaint(ran)) end
  return answer
end

function LibVirt:start_instance(build)
  local disk = disk_of(self)
  if self.xml then
    virsh_first(self, { "uri" })
    return create(self, self.xml, disk)
  end
  local known = virsh_first(self, { "dumpxml", self.name })
  if known.status == 0 then return start_defined(self, known.stdout, disk) end
  if not is_unknown(self, nil, self.name, known) then retry(complaint(known)) end
  return create(self, nil, disk)
end

-- ENDING --------------------------------------------------------------------------------------------------------------

function LibVirt:stop_instance(handle, fast)
  -- The start left no handle, and nothing has the launch's mark.
  if handle == nil then return end
  local domain = handle.domain
  if domain then
    if self.graceful_shutdown and not fast and virsh(self, handle, { "shutdown", domain }).status == 0 then
      for _ = 1, SHUTDOWN do
        if not is_running(state_of(self, handle, domain)) then break end
        sleep(1)
      end
    end
    if is_running(state_of(self, handle, domain)) then
      local ran = virsh(self, handle, { "destroy", domain })
      if ran.status ~= 0 and is_running(state_of(self, handle, domain)) then error("the domain can't be ended: " .. complaint(ran), 0) end
    end
    if handle.defined and state_of(self, handle, domain) then
      unmark(self, handle, domain)
    end
  end
  if handle.disk then fs.remove(handle.disk) end
end

-- The handle says where: it can be stopped from there whatever the worker is told now.
LibVirt._stops_by_handle = LibVirt.stop_instance

function LibVirt:check_instance(handle)
  if not handle.domain then return false, "there is only its disk" end
  local state = state_of(self, handle, handle.domain)
  if not state then return false, "the domain is gone" end
  if is_running(state) and state ~= "in shutdown" then return true end
  return false, "the domain is " .. state
end

-- FINDING -------------------------------------------------------------------------------------------------------------

local function descriptions(self)
  local ids = all_domains(self, nil, "--uuid")
  local found, described, said = {}, {}, nil
  for first = 1, #ids, AT_ONCE do
    local commands = {}
    for i = first, math.min(first + AT_ONCE - 1, #ids) do commands[#commands + 1] = "dumpxml " .. ids[i] end
    -- One that has ended meanwhile is a complaint among the others' descriptions.
    local ran = virsh(self, nil, { table.concat(commands, "; ") })
    if is_away(ran) then error(complaint(ran), 0) end
    if text.strip(ran.stderr) ~= "" then said = complaint(ran) end
    for xml in ran.stdout:gmatch("<domain[%s>].-</domain>") do
      found[#found + 1] = xml
      described[xml:match("<uuid>([^<]*)</uuid>") or ""] = true
    end
  end
  local left = list.filter(ids, function(id) return not described[id] end)
  local still = #left > 0 and list.set(all_domains(self, nil, "--uuid")) or {}
  for _, id in ipairs(left) do
    if still[id] then error(("the domain %s can't be described: %s"):format(id, said or "virsh says nothing"), 0) end
  end
  return found
end

function LibVirt:list_instances()
  local found, seen = {}, {}
  for _, xml in ipairs(descriptions(self)) do
    local whose = marked(xml)
    if whose and whose.master == self.master_id and whose.launch then
      seen[whose.launch] = true
      local uuid = xml:match("<uuid>([^<]*)</uuid>")
      local defined = uuid:gsub("-", "") ~= whose.launch
      found[#found + 1] = { launch_id = whose.launch, handle = {
        uri = hypervisor(self), domain = defined and unquoted(xml:match("<name>([^<]*)</name>")) or uuid, defined = defined or nil, disk = whose.disk,
      } }
    end
  end
  -- Disks whose domains are not there any more.
  local folder = disk_folder(self)
  for _, name in ipairs(folder and fs.is_dir(folder) and fs.list(folder) or {}) do
    local launch = name:match("^buildmoon%-%x+%-(%x+)%.qcow2$")
    if launch and not seen[launch] and name == disk_name(self, launch) then
      found[#found + 1] = { launch_id = launch, handle = { uri = hypervisor(self), disk = path.join(folder, name) } }
    end
  end
  return found
end

-- What is wrong whatever the build: said when the file is read.
function LibVirt:check_config()
  if self.pool and next(self.pool) and self.hd_image and not fs.is_dir(self.hd_image) then
    error(("hd_image %q is one file, and each worker of a pool needs a disk of its own: name a folder, which is there"):format(self.hd_image), 0)
  end
  if self.base_image and self.base_image == self.hd_image then error("hd_image and base_image are the same file", 0) end
  if self.xml and not self.xml:find("<domain[%s>]") then error("'xml' describes no domain: it has no <domain>", 0) end
end

return LibVirt
