-- What the backend asks of a cloud and what it makes of answers, with the shapes of the public API reference. Builds on servers are in
-- tests/openstack_workers.rs.
local CLOUD = "https://cloud.example"
local IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"
local SERVER = "f5dc173b-6804-445a-a6d8-c705dad5b5eb"
local PLACE = CLOUD .. "/identity/v3 first region p-77"

local function catalog(regions)
  local function points(path)
    return list.concat(table.unpack(list.map(regions, function(region)
      return { { id = region .. "-public", interface = "public", region = region, region_id = region, url = CLOUD .. "/" .. region .. path },
        { id = region .. "-internal", interface = "internal", region = region, region_id = region, url = "http://inside" .. path } }
    end)))
  end
  return {
    { id = "c", name = "nova", type = "compute", endpoints = points("/compute/v2.1") },
    { id = "i", name = "glance", type = "image", endpoints = points("/image") },
    { id = "n", name = "neutron", type = "network", endpoints = points("/network") },
  }
end

local function token(options)
  options = options or {}
  return { status = 201, headers = { ["X-Subject-Token"] = options.token or "token-1" }, json = { token = {
    methods = { "password" }, expires_at = options.ends or "2035-11-07T02:58:43.578887Z", issued_at = "2015-11-07T01:58:43.578929Z",
    catalog = catalog(options.regions or { "RegionOne" }), user = { id = "u", name = "ci", domain = { id = "default", name = "Default" } },
    project = { id = "p-77", name = "builds", domain = { id = "default", name = "Default" } },
  } } }
end

local function server(status, more)
  return { json = { server = dict.merge({ id = SERVER, name = "bot", status = status, metadata = {} }, more or {}) } }
end

local cases = 0
local function worker(more)
  -- Each has an account of its own, so that no token of another test is used.
  cases = cases + 1
  return OpenStackLatentWorker(dict.merge({ "bot", "pw", flavor = "m1.small", image = IMAGE, os_auth_url = CLOUD .. "/identity/v3",
    os_username = "ci-" .. cases, os_password = "sekrit", os_tenant_name = "builds" }, more or {}))
end

describe("OpenStackLatentWorker", function()
  local web, me, build
  -- A cloud where everything goes well.
  local function cloud(more)
    me, build = launching(worker(more), { launch_id = "launch-7", master_id = "master-3" })
    fake.time()
    web = fake.http()
    web:on("POST", "/identity/v3/auth/tokens", token())
    web:on("GET", "*/servers/detail", { json = { servers = {} } })
    web:on("GET", "*/flavors/m1.small", { status = 404, json = { itemNotFound = { code = 404, message = "Flavor m1.small could not be found." } } })
    web:on("GET", "*/flavors", { json = { flavors = { { id = "1", name = "m1.tiny" }, { id = "2", name = "m1.small" } } } })
    web:on("GET", "*/images/" .. IMAGE, { json = { id = IMAGE, name = "debian", status = "active", size = 2 << 30, min_disk = 0 } })
    web:on("POST", "*/servers", { status = 202, json = { server = { id = SERVER, adminPass = "x", links = {} } } })
    web:on("GET", "*/servers/" .. SERVER, server("BUILD"), server("BUILD"), server("ACTIVE"))
    web:on("DELETE", "*/servers/" .. SERVER, { status = 204 })
  end
  local function asked(method, path)
    return list.filter(web.calls, function(call) return call.method == method and call.path:find(path, 1, true) ~= nil end)
  end
  local function made() return asked("POST", "/servers")[1].json.server end

  before_each(function() cloud() end)

  it("logs in, makes a server that carries the mark, and waits until it runs", function()
    expect(me:start_instance(build)):to_equal{ handle = { server = SERVER, place = PLACE }, status = { "m1.small", "debian", SERVER } }
    expect(asked("POST", "/auth/tokens")[1].json):to_equal{ auth = {
      identity = { methods = { "password" }, password = { user = { name = me.os_username, password = "sekrit", domain = { id = "default" } } } },
      scope = { project = { name = "builds", domain = { id = "default" } } },
    } }
    expect(made()):to_equal{ name = "bot", flavorRef = "2", imageRef = IMAGE,
      metadata = { ["buildmoon-master"] = "master-3", ["buildmoon-launch"] = "launch-7", ["buildmoon-worker"] = "bot" } }
    expect(asked("GET", "/flavors")[1].headers["x-auth-token"]):to_be("token-1")
    expect(asked("GET", "/servers/" .. SERVER)):to_have_length(3)
  end)

  it("finds the server of a launch that was begun before", function()
    local mark = { ["buildmoon-master"] = "master-3", ["buildmoon-launch"] = "launch-7" }
    web:on("GET", "*/servers/detail", { json = { servers = {
      { id = "other", name = "bot", status = "ACTIVE", metadata = { ["buildmoon-master"] = "master-3", ["buildmoon-launch"] = "launch-6" } },
      { id = SERVER, name = "bot", status = "BUILD", metadata = mark } } } })
    expect(me:start_instance(build).handle):to_equal{ server = SERVER, place = PLACE }
    expect(asked("POST", "/servers")):to_have_length(0)
    expect(asked("GET", "/servers/detail")[1].params.name):to_be("^bot$")
  end)

  it("looks for the server when the answer was lost", function()
    local mark = { ["buildmoon-master"] = "master-3", ["buildmoon-launch"] = "launch-7" }
    web:on("GET", "*/servers/detail", { json = { servers = {} } }, { json = { servers = { { id = SERVER, name = "bot", status = "BUILD", metadata = mark } } } })
    web:on("POST", "*/servers", { error = "connection closed before the message was complete" })
    expect(me:start_instance(build).handle):to_equal{ server = SERVER, place = PLACE }
    expect(asked("POST", "/servers")):to_have_length(1)
  end)
  it("says that it does not know when the answer was lost and no server is seen", function()
    web:on("POST", "*/servers", { error = "connection closed before the message was complete" })
    local failed, why = pcall(function() me:start_instance(build) end)
    expect(failed):to_be(false)
    expect(why):to_be_a("string")
    expect(why):to_contain("the server may have been made")
  end)

  it("sorts refusals", function()
    local function refuses(status, key, message, headers)
      web:on("POST", "*/servers", { status = status, headers = headers, json = { [key] = { code = status, message = message } } })
      return function() me:start_instance(build) end
    end
    expect(refuses(403, "forbidden", "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances")):to_fail_as("capacity", "Quota exceeded")
    expect(refuses(403, "forbidden", "Policy doesn't allow os_compute_api:servers:create to be performed.")):to_fail_as("config_error", "Policy")
    expect(refuses(429, "overLimit", "Too many requests", { ["Retry-After"] = "7" })):to_fail_as("retry", "Too many requests")
    expect(refuses(413, "overLimit", "This request was rate-limited.")):to_fail_as("retry", "rate-limited")
    expect(refuses(400, "badRequest", "Invalid key_name provided.")):to_fail_as("config_error", "Invalid key_name provided. (status 400)")
    expect(refuses(500, "computeFault", "Unexpected API Error.")):to_fail_as("retry", "Unexpected API Error")
    expect(refuses(409, "conflictingRequest", "Port is still in use.")):to_fail_as("retry", "still in use")
  end)

  it("takes away a server that can't be built", function()
    web:on("GET", "*/servers/" .. SERVER, server("BUILD"),
      server("ERROR", { fault = { code = 500, message = "No valid host was found. There are not enough hosts available." } }), { status = 404, json = {} })
    expect(function() me:start_instance(build) end):to_fail_as("capacity", "No valid host was found")
    expect(asked("DELETE", SERVER)):to_have_length(1)
    web:on("GET", "*/servers/" .. SERVER, server("ERROR", { fault = { code = 500, message = "Build of instance aborted" } }), { status = 404, json = {} })
    expect(function() me:start_instance(build) end):to_fail_as("retry", "Build of instance aborted")
  end)

  it("lets a look fail while the server is built", function()
    web:on("GET", "*/servers/" .. SERVER, { status = 503, text = "<html><h1>Service Unavailable</h1></html>" }, { error = "connection refused" }, server("ACTIVE"))
    expect(me:start_instance(build).handle):to_equal{ server = SERVER, place = PLACE }
  end)

  it("renews a token that is refused or ends soon, once", function()
    web:on("POST", "/identity/v3/auth/tokens", token{ token = "old" }, token{ token = "new" })
    web:on("GET", "*/servers/detail", function(call)
      if call.headers["x-auth-token"] == "old" then return { status = 401, json = { error = { code = 401, message = "The request you have made requires authentication." } } } end
      return { json = { servers = {} } }
    end)
    expect(me:list_instances()):to_equal{}
    expect(me:list_instances()):to_equal{}
    expect(asked("POST", "/auth/tokens")):to_have_length(2)
    local clock = fake.time(time.parse("2035-11-07T02:57:00Z"))
    clock:advance(60)
    me:list_instances()
    expect(asked("POST", "/auth/tokens")):to_have_length(3)
  end)
  it("logs in once for many", function()
    web:on("POST", "/identity/v3/auth/tokens", function() sleep(1) return token() end)
    local all = {}
    for i = 1, 20 do all[i] = function() return me:list_instances() end end
    gather(all)
    expect(asked("POST", "/auth/tokens")):to_have_length(1)
  end)
  it("says that Keystone refuses, or is away", function()
    web:on("POST", "/identity/v3/auth/tokens", { status = 401, json = { error = { code = 401, title = "Unauthorized", message = "The request you have made requires authentication." } } })
    expect(function() me:start_instance(build) end):to_fail_as("config_error", "requires authentication. (status 401)")
    web:on("POST", "/identity/v3/auth/tokens", { error = "connection refused" })
    expect(function() me:start_instance(build) end):to_fail_as("retry", "connection refused")
  end)

  it("takes the newest image of a name", function()
    cloud{ image = "debian 13" }
    web:on("GET", "*/v2/images", { json = { images = { { id = "a", name = "debian 13", status = "active", created_at = "2025-01-01T00:00:00Z" } },
      next = "/v2/images?marker=a&name=debian+13" } })
    web:on("GET", "*/v2/images?marker=a*", { json = { images = { { id = "b", name = "debian 13", status = "active", created_at = "2026-01-01T00:00:00Z" },
      { id = "c", name = "debian 13", status = "queued", created_at = "2026-02-01T00:00:00Z" } } } })
    me:start_instance(build)
    expect(made().imageRef):to_be("b")
    expect(asked("GET", "/v2/images")[1].params):to_have{ name = "debian 13", status = "active" }
  end)
  it("lets a function choose the image", function()
    cloud{ image = function(images) return list.filter(images, function(i) return i.os_version == "13" end)[1] end }
    web:on("GET", "*/v2/images", { json = { images = { { id = "x", status = "active", os_version = "12" }, { id = "y", status = "active", os_version = "13" } } } })
    me:start_instance(build)
    expect(made().imageRef):to_be("y")
    cloud{ image = function() return nil end }
    web:on("GET", "*/v2/images", { json = { images = {} } })
    expect(function() me:start_instance(build) end):to_fail_as("config_error", "the function of 'image' must give one of the images")
  end)
  it("names the flavor or image that is not there", function()
    cloud{ flavor = "m1.samll" }
    web:on("GET", "*/flavors/m1.samll", { status = 404, json = { itemNotFound = { code = 404, message = "Flavor m1.samll could not be found." } } })
    expect(function() me:start_instance(build) end):to_fail_as("config_error", 'there is no flavor "m1.samll"; there is m1.tiny, m1.small')
    cloud{ image = "none" }
    web:on("GET", "*/v2/images", { json = { images = {} } })
    expect(function() me:start_instance(build) end):to_fail_as("config_error", 'there is no active image "none"')
  end)
  it("reads all pages of servers and flavors", function()
    web:on("GET", "*/flavors", function(call)
      if call.params.marker == "1" then return { json = { flavors = { { id = "2", name = "m1.small" } } } } end
      return { json = { flavors = { { id = "1", name = "m1.tiny" } }, flavors_links = { { rel = "next", href = "http://wrong.example/flavors?marker=1" } } } }
    end)
    me:start_instance(build)
    expect(made().flavorRef):to_be("2")
  end)

  it("says what else Nova is told, in its words or in its client's", function()
    cloud{ image = None, block_devices = { { uuid = IMAGE }, { source_type = "blank", volume_size = 10 } }, meta = { team = "ci", level = 3 },
      networks = { "build net", "0e44cc9c-e052-415d-afbf-469b0d384170" }, user_data = "#cloud-config\n",
      nova_args = { key_name = "ci", security_groups = { "default", "ssh" }, availability_zone = "az1", scheduler_hints = { group = "g" }, meta = { team = "x", kind = "y" } } }
    web:on("GET", "*/v2.0/networks", { json = { networks = { { id = "net-1", name = "build net" } } } })
    me:start_instance(build)
    expect(made()):to_have{ key_name = "ci", availability_zone = "az1", security_groups = { { name = "default" }, { name = "ssh" } },
      networks = { { uuid = "net-1" }, { uuid = "0e44cc9c-e052-415d-afbf-469b0d384170" } }, user_data = base64.encode("#cloud-config\n"),
      block_device_mapping_v2 = {
        { uuid = IMAGE, source_type = "image", destination_type = "volume", boot_index = 0, delete_on_termination = true, volume_size = 2 },
        { source_type = "blank", destination_type = "volume", boot_index = -1, delete_on_termination = true, volume_size = 10 } } }
    expect(made().imageRef):to_be(nil)
    expect(made().metadata):to_have{ team = "ci", level = "3", kind = "y" }
    expect(asked("POST", "/servers")[1].json["os:scheduler_hints"]):to_equal{ group = "g" }
    cloud{ nova_args = { nics = { { ["net-id"] = "n", ["v4-fixed-ip"] = "10.0.0.7" } } } }
    me:start_instance(build)
    expect(made().networks):to_equal{ { uuid = "n", fixed_ip = "10.0.0.7" } }
    cloud{ networks = "auto" }
    me:start_instance(build)
    expect(made().networks):to_be("auto")
    expect(asked("POST", "/servers")[1].headers["openstack-api-version"]):to_be("compute 2.37")
  end)

  it("uses the region and the address that it is told", function()
    cloud{ region = "two", interface = "public", client_version = "2.72" }
    web:on("POST", "/identity/v3/auth/tokens", token{ regions = { "one", "two" } })
    me:list_instances()
    expect(web.calls[2].address):to_be(CLOUD .. "/two/compute/v2.1/servers/detail")
    expect(web.calls[2].headers["openstack-api-version"]):to_be("compute 2.72")
    cloud{ region = "three" }
    web:on("POST", "/identity/v3/auth/tokens", token{ regions = { "one", "two" } })
    expect(function() me:start_instance(build) end):to_fail_as("config_error", 'there is no region "three" with a compute service; there is one, two')
  end)
  it("logs in with an application credential", function()
    cloud{ os_auth_args = { auth_url = CLOUD .. "/identity", application_credential_id = "cred", application_credential_secret = "s" } }
    me:list_instances()
    expect(web.calls[1].json.auth):to_equal{ identity = { methods = { "application_credential" }, application_credential = { id = "cred", secret = "s" } } }
    cloud{ os_auth_args = { auth_url = CLOUD .. "/identity", usrname = "x" } }
    expect(function() me:list_instances() end):to_fail_as("config_error", "there is no 'usrname'")
  end)

  it("deletes and waits until the server is gone", function()
    web:on("GET", "*/servers/" .. SERVER, server("ACTIVE"), server("ACTIVE"), { status = 404, json = {} })
    me:stop_instance({ server = SERVER }, false)
    expect(asked("GET", SERVER)):to_have_length(3)
    web:on("DELETE", "*/servers/" .. SERVER, { status = 404, json = {} })
    me:stop_instance({ server = SERVER }, false)
    expect(function() me:stop_instance("x", false) end):to_fail('this is no handle of a server: "x"')
    web:on("DELETE", "*/servers/" .. SERVER, { status = 409, json = { conflictingRequest = { code = 409, message = "Instance is locked" } } })
    expect(function() me:stop_instance({ server = SERVER }, false) end):to_fail("can't be deleted: Instance is locked (status 409)")
  end)
  it("does not take a server for gone that another cloud has", function()
    web:on("DELETE", "*/servers/" .. SERVER, { status = 404, json = {} })
    me:stop_instance({ server = SERVER, place = PLACE }, false)
    expect(function() me:stop_instance({ server = SERVER, place = "https://old.example/v3 p-1" }, false) end)
      :to_fail(("the server %s was made at https://old.example/v3 p-1 and is not seen at %s"):format(SERVER, PLACE))
    web:on("DELETE", "*/servers/" .. SERVER, { status = 204 })
    me:stop_instance({ server = SERVER, place = CLOUD .. "/identity/v3 RegionOne p-77" }, true)
  end)
  it("does not wait when the master is shut down", function()
    me:stop_instance({ server = SERVER }, true)
    expect(asked("GET", SERVER)):to_have_length(0)
  end)
  it("stops the server of a launch whose handle is not known", function()
    local mark = { ["buildmoon-master"] = "master-3", ["buildmoon-launch"] = "launch-7" }
    web:on("GET", "*/servers/detail", { json = { servers = { { id = SERVER, name = "bot", status = "BUILD", metadata = mark } } } }, { json = { servers = {} } })
    me:stop_instance(nil, true)
    expect(asked("DELETE", SERVER)):to_have_length(1)
    me:stop_instance(nil, true)
    expect(asked("DELETE", SERVER)):to_have_length(1)
  end)

  it("lists what carries this master's mark", function()
    local function mark(master, launch) return { ["buildmoon-master"] = master, ["buildmoon-launch"] = launch } end
    web:on("GET", "*/servers/detail", function(call)
      if not call.params.marker then
        return { json = { servers = { { id = "a", status = "ACTIVE", metadata = mark("master-3", "1") }, { id = "b", status = "ACTIVE", metadata = {} } },
          servers_links = { { rel = "next", href = "http://x/servers/detail?limit=2&marker=b" } } } }
      end
      return { json = { servers = { { id = "c", status = "ERROR", metadata = mark("master-3", "2") }, { id = "d", status = "ACTIVE", metadata = mark("other", "3") },
        { id = "e", status = "SOFT_DELETED", metadata = mark("master-3", "4") } } } }
    end)
    expect(me:list_instances()):to_equal{ { launch_id = "1", handle = { server = "a", place = PLACE } }, { launch_id = "2", handle = { server = "c", place = PLACE } } }
    web:on("GET", "*/servers/detail", { status = 500, json = { computeFault = { code = 500, message = "Unexpected" } } })
    expect(function() me:list_instances() end):to_fail("the servers can't be listed: Unexpected (status 500)")
  end)
  it("says how a server is", function()
    local function is(...)
      web:on("GET", "*/servers/" .. SERVER, ...)
      return { me:check_instance{ server = SERVER } }
    end
    expect(is(server("ACTIVE"))):to_equal{ true }
    expect(is(server("SHUTOFF"))):to_equal{ false, "the server is in state SHUTOFF" }
    expect(is(server("ERROR", { fault = { message = "Disk failed" } }))[2]):to_contain("Disk failed")
    expect(is{ status = 404, json = {} }):to_equal{ false, "the server is gone" }
    web:on("GET", "*/servers/" .. SERVER, { status = 503, text = "" })
    expect(function() me:check_instance{ server = SERVER } end):to_fail("status 503")
  end)
end)
