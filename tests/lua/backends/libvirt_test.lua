-- What the backend makes of what `virsh` says. Builds in domains are in tests/libvirt_workers.rs.
local LAUNCH = "0123456789abcdef0123456789abcdef"
local UUID = "01234567-89ab-cdef-0123-456789abcdef"
local OTHER = "11111111-2222-3333-4444-555555555555"
local HANDLE = { uri = "qemu:///system", domain = UUID }

local function described(uuid, launch)
  return ("<domain type='kvm'><name>bot</name><uuid>%s</uuid><metadata><buildmoon:instance xmlns:buildmoon='urn:buildmoon:instance'"
    .. " master='master-1' launch='%s' worker='bot'/></metadata></domain>\n"):format(uuid, launch)
end

local function missed(domain) return { status = 1, stderr = ("error: failed to get domain '%s'\n\n"):format(domain) } end

describe("LibVirtWorker", function()
  local commands, me
  before_each(function()
    me = launching(LibVirtWorker{ "bot", "pw", base_image = "/images/base.qcow2" }, { launch_id = LAUNCH, master_id = "master-1" })
    commands = fake.process()
  end)
  local function destroyed()
    return list.any(commands.calls, function(call) return list.contains(call.argv, "destroy") end)
  end

  it("believes only a list that a domain is gone", function()
    commands:on("* domstate " .. UUID, missed(UUID))
    commands:on("* list --all --uuid", { stdout = OTHER .. "\n\n" })
    me:stop_instance(HANDLE, true)
    expect(me:check_instance(HANDLE)):to_be(false)
    -- The connection broke between two commands.
    commands:on("* list --all --uuid", { stdout = OTHER .. "\n" .. UUID .. "\n\n" })
    expect(function() me:stop_instance(HANDLE, true) end):to_fail("failed to get domain")
    expect(function() me:check_instance(HANDLE) end):to_fail("failed to get domain")
    commands:on("* list --all --uuid", { status = 1, stderr = "error: failed to connect to the hypervisor" })
    expect(function() me:stop_instance(HANDLE, true) end):to_fail("can't be listed: failed to connect")
    expect(destroyed()):to_be(false)
  end)

  it("tells a short list from a whole one", function()
    local both = { stdout = OTHER .. "\n" .. UUID .. "\n\n" }
    commands:on("* list --all --uuid", both)
    commands:on("* dumpxml *", { stdout = described(OTHER, "ff") .. described(UUID, LAUNCH) })
    expect(#me:list_instances()):to_be(2)
    commands:on("* dumpxml *", { status = 1, stdout = described(OTHER, "ff"), stderr = missed(UUID).stderr })
    expect(function() me:list_instances() end):to_fail("the domain " .. UUID .. " can't be described: failed to get domain")
    -- It has ended meanwhile.
    commands:on("* list --all --uuid", both, { stdout = OTHER .. "\n\n" })
    expect(#me:list_instances()):to_be(1)
  end)

  it("asks again before it makes a domain of a name that libvirt may know", function()
    commands:on("* dumpxml bot", missed("bot"))
    commands:on("* list --all --name", { stdout = "bot\n\n" })
    expect(function() me:start_instance(nil) end):to_fail("failed to get domain 'bot'")
  end)

  it("keeps the password from command lines", function()
    local own = launching(LibVirtWorker{ "bot", "pw" }, { launch_id = LAUNCH, master_id = "master-1", password = "it's \"p\\w\"" })
    commands:on("* dumpxml bot", { stdout = "<domain type='kvm'><name>bot</name></domain>" })
    commands:on("* domstate *", { stdout = "shut off\n" })
    commands:on("virsh -q -c qemu:///system", {})
    commands:on("* start bot", {})
    own:start_instance(nil)
    local said = list.filter(commands.calls, function(call) return call.stdin ~= nil end)
    expect(#said):to_be(2)
    expect(said[2].stdin):to_contain([["--set" "<auth username='bot' password='it&apos;s &quot;p\\w&quot;' master=']])
    expect(list.any(commands.calls, function(call) return table.concat(call.argv, " "):find("p\\w", 1, true) ~= nil end)):to_be(false)
    commands:on("virsh -q -c qemu:///system", { stderr = "error: Requested metadata element is not present\n" })
    expect(function() own:start_instance(nil) end):to_fail("the metadata of the domain bot can't be set: Requested metadata")
  end)
end)
