-- What a build does, as a hierarchy of factories. Attributes say what differs; methods what is done.
local own = require("fleet.steps")

-- How many processes make may start: the worker's own number, and fewer on a branch that is tested in passing.
local jobs = util.renderer(function(props)
  local n = props:getProperty("jobs", 2)
  if props:getProperty("branch_name") ~= "main" then n = math.max(1, n // 2) end
  return "-j" .. n
end)

-- Hide what was left out.
local function hidden_if_skipped(results) return results == util.SKIPPED end

local Base = util.BuildFactory:extend("Base", {
  args = { branch = "string", tags = { "list<string>", default = {} } },
  factory_tags = {},
  configure_flags = {},
  compile_environ = {},
  test_flags = { "-v" },
  test_timeout = "20m",
  buildername_suffix = "",
})

function Base:init(args)
  self.tags = list.unique(list.concat(self.factory_tags, args.tags))
  Base.super.init(self)
  self:addSteps(self:source(args.branch))
  self:setup(args.branch)
end

function Base:source(branch)
  return {
    -- A project in miniature stands in for the checkout of a real one.
    steps.ShellCommand{ name = "source", command = { "sh", "-c", fs.read("project.sh") }, env = { BRANCH = branch },
      description = "fetching", descriptionDone = "source", haltOnFailure = true, logEnviron = false },
    steps.SetPropertyFromCommand{ name = "revision", command = { "cat", "REVISION" }, property = "got_revision", haltOnFailure = true },
  }
end

function Base:setup() error(self.classname .. " has no setup", 0) end

local Unix = Base:extend("Unix", { factory_tags = { "unix" } })

function Unix:setup(branch)
  self:addStep(steps.Configure{ command = list.concat({ "./configure" }, self.configure_flags), env = self.compile_environ })
  self:addStep(own.Compile{ command = { "make", jobs, "all" }, env = self.compile_environ })
  self:addStep(steps.ShellCommand{ name = "info", command = { "./hello", Interpolate("--on=%(prop:workername)s") }, warnOnFailure = true,
    flunkOnFailure = false })
  -- `flaky` of the force form lets one test fail the first time.
  self:addStep(own.TestSuite{ command = list.concat({ "./run-tests" }, self.test_flags), timeout = self.test_timeout,
    env = { FLAKY = Interpolate("%(prop:flaky:#?|yes|)s") } })
  self:addStep(steps.ShellCommand{ name = "clean", command = { "make", "clean" }, alwaysRun = true,
    doStepIf = function(step) return step:getProperty("keep_files") ~= true end, hideStepIf = hidden_if_skipped })
end

-- The same with a debugging compiler; everything but the flags is inherited.
local UnixDebug = Unix:extend("UnixDebug", {
  factory_tags = list.concat(Unix.factory_tags, { "debug" }),
  configure_flags = { "--with-debug" },
  buildername_suffix = " Debug",
})

local UnixAsan = UnixDebug:extend("UnixAsan", {
  factory_tags = { "unix", "sanitizer" },
  configure_flags = list.concat(UnixDebug.configure_flags, { "--with-address-sanitizer" }),
  compile_environ = { CFLAGS = "-fsanitize=address", ASAN_OPTIONS = "detect_leaks=0" },
  test_timeout = "45m",
  buildername_suffix = " ASAN",
})

-- Slow machines test less, and tell what they left out.
local Slow = Unix:extend("Slow", { factory_tags = { "unix", "slow" }, test_flags = { "-v", "--short" }, test_timeout = "2h" })

function Slow:setup(branch)
  Slow.super.setup(self, branch)
  self:addStep(steps.ShellCommand{ name = "left out", command = { "./run-tests", "--list-long" }, hideStepIf = hidden_if_skipped,
    doStepIf = function(step) return step.build:getProperty("tier", 3) < 3 end })
end

return { Unix = Unix, UnixDebug = UnixDebug, UnixAsan = UnixAsan, Slow = Slow }
