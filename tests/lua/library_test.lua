-- The helpers that ship in Lua.
describe("list", function()
  it("makes new lists", function()
    local a = { 1, 2 }
    expect(list.concat(a, nil, { 3 })):to_equal{ 1, 2, 3 }
    expect(a):to_equal{ 1, 2 }
    expect(list.map(a, function(x, i) return x * 10 + i end)):to_equal{ 11, 22 }
    expect(list.filter({ 1, 2, 3, 4 }, function(x) return x % 2 == 0 end)):to_equal{ 2, 4 }
    expect(list.unique{ "b", "a", "b" }):to_equal{ "b", "a" }
    expect(list.set{ "a", "b" }):to_equal{ a = true, b = true }
  end)
  it("extends in place, also by itself", function()
    local a = { 1, 2 }
    expect(list.extend(a, a)):to_be(a)
    expect(a):to_equal{ 1, 2, 1, 2 }
  end)
  it("asks for any and all", function()
    expect(list.any{ false, 1 }):to_be(true)
    expect(list.any{}):to_be(false)
    expect(list.all{}):to_be(true)
    expect(list.all({ 1, 2 }, function(x) return x < 2 end)):to_be(false)
    expect(list.contains({ "a" }, "a")):to_be(true)
  end)
  it("sorts by keys, and keeps the order of equals", function()
    expect(list.sorted{ 3, 1, 2 }):to_equal{ 1, 2, 3 }
    local rows = { { n = 2, s = "x" }, { n = 1, s = "y" }, { n = 2, s = "a" } }
    expect(list.map(list.sorted(rows, function(r) return r.n end), function(r) return r.s end)):to_equal{ "y", "x", "a" }
    expect(list.map(list.sorted(rows, function(r) return { -r.n, r.s } end), function(r) return r.s end)):to_equal{ "a", "x", "y" }
    expect(function() list.sorted{ 1, "a" } end):to_fail("have no common order: items 1 and 2")
    expect(function() list.sorted{ {} } end):to_fail("item 1, and no key is given")
    expect(function() list.sorted{ 0 / 0 } end):to_fail("no number that has an order")
  end)
  it("says what is wrong, at the line of the caller", function()
    expect(function() list.map("x", tostring) end):to_fail([[list.map: 'items' must be a list, got "x"]])
    expect(function() list.map({}, 1) end):to_fail("list.map: 'f' must be a function, got 1")
  end)
end)

describe("dict", function()
  it("goes by the order of the names", function()
    local t = { b = 2, a = 1, c = 3 }
    expect(dict.keys(t)):to_equal{ "a", "b", "c" }
    expect(dict.values(t)):to_equal{ 1, 2, 3 }
    expect(dict.items(t)[1]):to_equal{ "a", 1 }
    local seen = {}
    for name, value in dict.sorted_pairs(t) do seen[#seen + 1] = name .. value end
    expect(seen):to_equal{ "a1", "b2", "c3" }
  end)
  it("merges, the later wins, and changes nothing", function()
    local a = { x = 1, y = 1 }
    expect(dict.merge(a, nil, { y = 2 })):to_equal{ x = 1, y = 2 }
    expect(a.y):to_be(1)
  end)
  it("copies as deep as it goes, each table once", function()
    local inner = { 1 }
    local t = { a = inner, b = inner, w = Worker{ "w", "pw" } }
    t.self = t
    local copy = dict.deepcopy(t)
    expect(copy.a).never:to_be(inner)
    expect(copy.a):to_be(copy.b)
    expect(copy.self):to_be(copy)
    expect(copy.w):to_be(t.w)
    local deep = {}
    for _ = 1, 200 do deep = { deep } end
    expect(function() dict.deepcopy(deep) end):to_fail("nested deeper than 150")
  end)
end)

describe("text", function()
  it("knows beginnings and ends", function()
    expect(text.startswith("bot-linux", "bot-")):to_be(true)
    expect(text.endswith("bot-linux", "")):to_be(true)
    expect(text.endswith("a", "aa")):to_be(false)
    expect(text.strip(" \t a b \n")):to_be("a b")
    expect(text.strip(" ")):to_be("")
  end)
  it("splits", function()
    expect(text.split(" a  b ")):to_equal{ "a", "b" }
    expect(text.split("a,,b", ",")):to_equal{ "a", "", "b" }
    expect(text.split("a.b", ".")):to_equal{ "a", "b" }
    expect(function() text.split("a", "") end):to_fail("the separator is empty")
    expect(text.lines("a\r\nb\rc\n\n")):to_equal{ "a", "b", "c", "" }
    expect(text.lines("")):to_equal{}
  end)
  it("fills in", function()
    expect(text.format("{name} has {1} of {{x}}", { name = "rack", 7 })):to_be("rack has 7 of {x}")
    expect(function() text.format("{nmae}", { name = "x" }) end):to_fail("there is no value for {nmae}")
  end)
  it("writes values as Lua would", function()
    expect(text.repr{ 1, "a\n", { b = 1.5 }, ["c d"] = true, ["end"] = false }):to_be([[{ 1, "a\n", { b = 1.5 }, ["c d"] = true, ["end"] = false }]])
    expect(text.repr(2.0)):to_be("2.0")
    expect(text.repr(0.1)):to_be("0.1")
    local t = {}
    t.t = t
    expect(text.repr(t)):to_be("{ t = {…} }")
  end)
end)

describe("path", function()
  it("joins and takes apart", function()
    expect(path.join("a", "b/", "c")):to_be("a/b/c")
    expect(path.join("a", "/b")):to_be("/b")
    expect(path.basename("a/b.lua")):to_be("b.lua")
    expect(path.dirname("a/b.lua")):to_be("a")
    expect(path.dirname("/b")):to_be("/")
    expect(path.dirname("b")):to_be("")
  end)
end)

describe("truthy", function()
  it("is Python's rule", function()
    for _, nothing in ipairs{ false, 0, "", {}, None } do expect(truthy(nothing)):to_be(false) end
    expect(truthy(nil)):to_be(false)
    for _, something in ipairs{ true, 1, "0", { 0 }, -1 } do expect(truthy(something)):to_be(true) end
  end)
end)

describe("class", function()
  it("inherits, overrides and knows its parent", function()
    local Animal = class("Animal")
    function Animal:init(args) self.name = args.name or args[1] end
    function Animal:speak() return self.name .. " says nothing" end
    local Dog = class("Dog", Animal)
    function Dog:speak() return Dog.super.speak(self) .. ", then wau" end
    local rex = Dog{ "rex" }
    expect(rex:speak()):to_be("rex says nothing, then wau")
    expect(rex:isinstance(Animal)):to_be(true)
    expect(rex):to_be_a(Dog)
    expect(Animal{ "a" }).never:to_be_a(Dog)
    expect(Dog.classname):to_be("Dog")
  end)
end)

describe("gather, spawn and timeout", function()
  before_each(function() fake.time(0) end)
  it("run at once and give results in order", function()
    local began = time.now()
    local results = gather{ function() sleep(3) return "a" end, function() sleep(1) return "b" end }
    expect(results):to_have{ "a", "b" }
    expect(time.now() - began):to_be(3.0)
  end)
  it("end the others with the first error", function()
    local ended = false
    expect(function()
      gather{ function() sleep(1) error("first") end, function() sleep(10) ended = true end }
    end):to_fail("first")
    sleep(60)
    expect(ended):to_be(false)
  end)
  it("give back what was raised", function()
    local task = spawn(function() error{ code = 7 } end)
    local ok, raised = pcall(function() task:wait() end)
    expect(ok):to_be(false)
    expect(raised.code):to_be(7)
  end)
end)
