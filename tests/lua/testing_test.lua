-- What test files may say, tested with itself.
local order = {}

describe("groups", function()
  before_each(function() order[#order + 1] = "outer before" end)
  after_each(function() order[#order + 1] = "outer after" end)
  describe("inner", function()
    before_each(function() order = { "outer before", "inner before" } end)
    it("runs what stands around it, from the outside in", function() expect(order):to_equal{ "outer before", "inner before" } end)
  end)
  it("refuses to be nested in a test", function()
    expect(function() describe("x", function() end) end):to_fail("describe stands outside of tests")
    expect(function() it("x", function() end) end):to_fail("it stands outside of tests")
    expect(function() before_each(function() end) end):to_fail("before_each stands outside of tests")
  end)
end)

describe("expect", function()
  it("compares by identity", function()
    local t = {}
    expect(t):to_be(t)
    expect(t).never:to_be{}
    expect(1):to_be(1.0)
    expect(nil):to_be(nil)
    expect(function() expect(1):to_be(2) end):to_fail("expected 2, got 1")
    expect(function() expect("a").never:to_be("a") end):to_fail([[expected anything but "a", got "a"]])
  end)
  it("compares by content and says where it differs", function()
    expect{ a = { 1, { b = 2 } } }:to_equal{ a = { 1, { b = 2 } } }
    expect{ 1 }.never:to_equal{ 1, 2 }
    expect(function() expect{ a = { 1, 2 } }:to_equal{ a = { 1, 3 } } end):to_fail("expected a[2] to be 3, got 2")
    expect(function() expect{ 1 }:to_equal{ 1, 2 } end):to_fail("expected [2] to be 2, got nil")
    local a, b = { n = 1 }, { n = 1 }
    a.self, b.self = a, b
    expect(a):to_equal(b)
  end)
  it("looks into texts, lists and tables", function()
    expect("a.b"):to_contain(".")
    expect{ 1, { x = 1 } }:to_contain{ x = 1 }
    expect{ 1 }.never:to_contain(2)
    expect{ a = 1, b = { 2 } }:to_have{ b = { 2 } }
    expect(function() expect{ a = 1 }:to_have{ a = 2 } end):to_fail("expected a = 2, got 1 in { a = 1 }")
    expect("worker-12"):to_match([[^\w+-\d+$]])
    expect{ 1, 2 }:to_have_length(2)
    expect(function() expect(1):to_contain(1) end):to_fail("to_contain needs a text or a list, got 1")
  end)
  it("knows kinds and numbers", function()
    expect("x"):to_be_a("string")
    expect(1):to_be_a("integer")
    expect(1.5).never:to_be_a("integer")
    expect(Worker{ "w", "pw" }):to_be_a(Worker)
    expect(0.1 + 0.2):to_be_near(0.3)
    expect(2):to_be_above(1)
    expect(2):to_be_below(2.5)
    expect(function() expect("2"):to_be_above(1) end):to_fail("to_be_above needs numbers")
  end)
  it("catches errors", function()
    local function boom() error("no room in rack 7") end
    expect(boom):to_fail()
    expect(boom):to_fail("rack 7")
    expect(boom):to_raise(regex.compile([[rack \d+]]))
    expect(function() error{ message = "a table" } end):to_fail("a table")
    expect(function() expect(boom):to_fail("rack 8") end):to_fail("expected an error with \"rack 8\"")
    expect(function() expect(function() end):to_fail() end):to_fail("expected an error, got no error")
  end)
  it("names what was perhaps meant", function()
    expect(function() expect(1):to_bee(1) end):to_fail("expect(…) has no 'to_bee' (did you mean 'to_be'?)")
    expect(function() expect(1).to_be(1) end):to_fail("with a colon")
  end)
  it("takes a mistake of a declaration for an error of its line", function()
    local Rack = LatentWorker:extend("Rack", { args = { url = "string" } })
    expect(function() Rack{ "r", "pw" } end):to_fail("missing argument 'url'")
    expect(function() return utl end):to_fail("did you mean 'util'?")
  end)
end)

describe("fake.http", function()
  it("answers in turn and remembers what was asked", function()
    local web = fake.http():on("GET", "https://rack/units/*", { status = 503 }, { json = { id = "u1" }, headers = { ETag = "x" } })
    expect(http.get("https://rack/units/u1?deep=1", { bearer = "token" }).status):to_be(503)
    local answer = http.get("https://rack/units/u1")
    expect(answer.json.id):to_be("u1")
    expect(answer.headers.ETag):to_be("x")
    expect(http.get("https://rack/units/u1").json.id):to_be("u1")
    expect(web.calls):to_have_length(3)
    expect(web.calls[1]):to_have{ method = "GET", path = "/units/u1", host = "rack", params = { deep = "1" } }
    expect(web.calls[1].headers.authorization):to_be("Bearer token")
  end)
  it("takes functions, and the newest rule first", function()
    fake.http{ ["POST /boot"] = { status = 500 } }
      :on("POST", "/boot", function(asked) return { status = 201, json = { name = asked.json.name } } end)
    expect(http.post("http://any/boot", { json = { name = "w" } }).json.name):to_be("w")
  end)
  it("sends nothing that is not scripted", function()
    fake.http{ ["GET https://rack/units"] = { json = {} } }
    expect(function() http.get("https://rack/unit") end):to_fail("did you mean 'GET https://rack/units'?")
    expect(function() http.get("https://rack/units", { tiemout = 1 }) end):to_fail("did you mean 'timeout'?")
    expect(function() fake.http{ ["GET https://rack/units"] = { jsn = {} } } http.get("https://rack/units") end)
      :to_fail("an answer has no 'jsn' (did you mean 'json'?)")
  end)
  it("fails as a network does", function()
    fake.http{ ["* *"] = { error = "connection refused" } }
    expect(function() http.put("https://rack/x", { data = "" }) end):to_fail("connection refused")
    fake.http{ ["GET /x"] = { status = 404, text = "no such unit" } }
    expect(function() http.get("https://rack/x", { check = true }) end):to_fail("answered 404 Not Found: no such unit")
  end)
end)

describe("fake.process", function()
  it("answers commands", function()
    local commands = fake.process{ ["virsh list*"] = { stdout = " 1 vm\n" } }
    commands:on({ "virsh", "start", "*" }, { status = 1, stderr = "no domain" })
    expect(process.run({ "virsh", "list", "--all" }, { env = { LANG = "C" } }).stdout):to_be(" 1 vm\n")
    expect(process.run{ "virsh", "start", "x" }):to_have{ status = 1, stderr = "no domain" }
    expect(function() process.run({ "virsh", "start", "x" }, { check = true }) end):to_fail("'virsh' ended with status 1: no domain")
    expect(function() process.run{ "rm", "-rf", "/" } end):to_fail("no answer is scripted for rm -rf /")
    expect(commands.calls[1]):to_have{ argv = { "virsh", "list", "--all" }, env = { LANG = "C" } }
  end)
  it("is undone after the test before", function() expect(process.run{ "echo", "real" }.stdout):to_be("real\n") end)
end)

describe("fake.time", function()
  it("jumps to where the first sleeper wakes", function()
    local clock = fake.time(1000)
    local woken = {}
    gather{
      function() sleep(7200) woken[#woken + 1] = "late" end,
      function() sleep("1h") woken[#woken + 1] = "soon" end,
    }
    expect(woken):to_equal{ "soon", "late" }
    expect(time.now()):to_be(8200.0)
    expect(time.date{ tz = "+00:00" }):to_have{ year = 1970, hour = 2, min = 16, sec = 40 }
    expect(clock.slept):to_be(10800.0)
    clock:advance(60)
    expect(clock.now()):to_be(8260.0)
  end)
  it("ends what takes too long", function()
    fake.time()
    local began = time.now()
    expect(function() timeout(30, function() sleep(3600) end) end):to_fail("did not return within 30")
    expect(time.now() - began):to_be_near(30, 0.001)
    expect(timeout(30, function() sleep(29) return "in time" end)):to_be("in time")
  end)
  it("waits for work outside of Lua", function()
    fake.time(0)
    local order = {}
    gather{
      function() process.run{ "sleep", "0.2" } order[#order + 1] = "program" end,
      function() sleep(3600) order[#order + 1] = "sleeper" end,
    }
    expect(order):to_equal{ "program", "sleeper" }
  end)
  it("is undone after the test before", function() expect(time.now()):to_be_above(1e9) end)
end)

describe("launching", function()
  local Rack = LatentWorker:extend("RackWorker", { args = { rack_url = "string" } })
  function Rack:start_instance(build)
    local r = http.post(self.rack_url .. "/boot", { json = {
      name = self.name, password = self.password, launch_id = self.launch_id, memory = build.properties.memory } })
    if r.status == 409 then latent.capacity("the rack is full") end
    return { handle = r.json.id }
  end
  function Rack:stop_instance(handle) http.delete(self.rack_url .. "/units/" .. handle) end

  it("gives methods what the host gives them", function()
    local web = fake.http{ ["POST https://rack/boot"] = { status = 201, json = { id = "u1" } }, ["DELETE /units/u1"] = { status = 204 } }
    local me, build = launching(Rack{ "rack-1", "sekrit", rack_url = "https://rack" }, { launch_id = "abc", properties = { memory = 8 } })
    expect(me:start_instance(build)):to_equal{ handle = "u1" }
    expect(web.calls[1].json):to_equal{ name = "rack-1", password = "a password", launch_id = "abc", memory = 8 }
    me:stop_instance("u1")
    expect(web.calls[2].method):to_be("DELETE")
  end)
  it("lets typed failures through", function()
    fake.http{ ["POST /boot"] = { status = 409 } }
    local me, build = launching(Rack{ "rack-1", "sekrit", rack_url = "https://rack" })
    expect(function() me:start_instance(build) end):to_fail("the rack is full")
    expect(function() launching(Rack{ "r", rack_url = "x" }, { lunch_id = "1" }) end):to_fail("did you mean 'launch_id'?")
    expect(function() launching(Worker{ "w", "pw" }) end):to_fail("needs a latent worker")
  end)
end)
