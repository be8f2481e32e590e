-- A configuration as tests see it.
describe("load_master", function()
  local m
  before_each(function() m = m or load_master("farm/master.lua") end)

  it("shows what is declared, with defaults", function()
    expect(m.workers.names):to_equal{ "linux-1", "linux-2" }
    expect(m.workers["linux-1"].max_builds):to_be(2)
    expect(m.workers["linux-2"].max_builds):to_be(None)
    expect(m.workers[2].class):to_be("Worker")
    expect(m.title):to_be("Farm")
    expect(m.builders.release.workers):to_equal{ "linux-1", "linux-2" }
    expect(m.builders.release.steps):to_have_length(2)
    expect(m.builders.release.steps[1]):to_have{ class = "ShellCommand", command = { "make", "check" }, haltOnFailure = true }
    expect(m.builders.release.tags):to_contain("slow")
    expect(m.schedulers.force):to_have{ class = "ForceScheduler", builderNames = { "release" } }
  end)
  it("shows no secret", function()
    expect(m.workers["linux-1"].password):to_be("***")
    expect(m.services[1]):to_have{ smtpUser = "***", smtpPassword = "***", fromaddr = "farm@example.org" }
    expect(m.builders.release.steps[1].env):to_equal{ CC = "clang" }
  end)
  it("calls functions with plain data", function()
    expect(m.builders.release.nextBuild({ name = "release" }, { { id = 1 }, { id = 2 } }).id):to_be(2)
    expect(m.builders.release.steps[2].doStepIf{ name = "dist" }):to_be(true)
    expect(function() m.builders.release.nextBuild({}, nil) end):to_fail("master.lua:10: the function: attempt to get length of a nil value")
  end)
  it("takes a name that is not there for a slip", function()
    expect(function() return m.builders.relase end):to_fail("there is no builder 'relase' (did you mean 'release'?)")
    expect(function() return m.wrokers end):to_fail("did you mean 'workers'?")
    expect(function() return m.builders.release.factroy end):to_fail("there is no argument 'factroy' (did you mean 'factory'?)")
  end)
  it("refuses what the master would refuse, with all mistakes", function()
    expect(function() load_master("farm/broken.lua") end):to_fail("broken.lua has 2 mistakes")
    expect(function() load_master("farm/broken.lua") end):to_fail("unknown argument 'max_build' (did you mean 'max_builds'?)")
    expect(function() load_master("farm/none.lua") end):to_fail("No such file")
  end)
end)
