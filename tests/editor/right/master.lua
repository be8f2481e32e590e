-- What no editor may underline: every form of a call, classes of one's own, callbacks, the library.
local c = BuildmasterConfig

c.title, c.buildbotURL = "CI", "http://localhost:8010/"
c.protocols = { pb = { port = "tcp:9989:interface=127.0.0.1" } }
c.www = { port = 8010 }
c.lua = { callback_timeout = "10s", memory_limit = "64MiB" }

local common = { max_builds = 2, keepalive_interval = "1h", missing_timeout = None }
c.workers = {
  Worker{ "one", "pass", max_builds = 1, properties = { os = "linux" } },
  Worker("two", "pass", { max_builds = 2 }),
  Worker(dict.merge(common, { "three", "pass" })),
  Worker{ name = "four", password = util.Secret("four") },
  LocalWorker{ "here" },
  worker.Worker{ "five", None },
}

local Checked = util.BuildFactory:extend("Checked", { flags = {}, args = { target = "string", extra = { "list<string>", default = {} } } })
function Checked:init(args)
  self.words = list.concat({ "make", args.target }, self.flags)
  Checked.super.init(self, { { steps.Compile{ command = self.words } } })
  self:again(3)
end
function Checked:again(count)
  for _ = 1, count do self:addStep(steps.ShellCommand{ command = self.words }) end
end
local Twice = Checked:extend("Twice")

local Tag = steps.BuildStep:extend("Tag", { args = { tag = "string" } })
function Tag:run()
  self:addLogObserver("stdio", function(_, line) self.last = line end)
  local cmd = self:makeRemoteShellCommand{ command = { "git", "tag", self.tag }, collectStdout = true }
  self:runCommand(cmd)
  self:addCompleteLog("said", cmd.stdout or "")
  return cmd:didFail() and util.FAILURE or cmd:results()
end

local f = util.BuildFactory()
f:addStep(steps.ShellCommand{ command = "make", env = { PATH = { "/opt/bin", "${PATH}" }, LANG = None }, timeout = 20 * 60 })
f:addStep(steps.ShellCommand{ command = { "echo", Interpolate("%(prop:a)s"), 3, { "nested", Property("b") } }, maxTime = "2h",
  doStepIf = function(step) return step:getProperty("branch") == "main" end,
  hideStepIf = function(results, _) return results == SUCCESS end })
f:addSteps{ steps.SetProperty{ property = "a", value = 1 }, steps.SetProperties{ a = 1, b = Property("x") }, Tag{ tag = "v1" } }
f:addStep(steps.SetProperties(function(props) return { a = props.branch } end))
f:addStep(steps.ShellSequence{ util.ShellArg{ command = "a", logname = "x" }, util.ShellArg("b") })
f:addStep(steps.ShellCommand{ command = util.renderer(function(props, jobs) return { "make", jobs, props.build.reason } end):withArgs(3) })
f:addStep(steps.ShellCommand{ command = util.Transform(string.upper, Property("x")), decodeRC = { [0] = SUCCESS, [1] = WARNINGS } })
f:addStep(steps.Test{ suppressionList = { { "a.c", "unused", None, None } }, warningPattern = regex.compile("^warn") })

local b = util.BuilderConfig{ name = "a", workernames = { "one" }, factory = f, tags = "x",
  nextWorker = function(builder, workers, _)
    for _, w in ipairs(workers) do if w:isAvailable() and not w.worker.properties.slow then return w end end
    log.info(builder.name, "has no worker")
  end,
  canStartBuild = function(_, wfb, request)
    if request.priority > 3 then return true end
    wfb.worker.quarantine_timeout = 30
    return false, 60
  end }
b.nextBuild = function(_, requests) return requests[1] end
c.builders = { b, util.BuilderConfig{ name = "b", workername = "two", factory = util.BuildFactory{ steps.Compile() } },
  { name = "c", workernames = { "three" }, factory = Twice{ target = "all" } } }
c.prioritizeBuilders = function(master, builders)
  local answer = master.data:get("builders", { limit = 5 })
  log.debug(answer and #answer.builders, master.config.title)
  return list.sorted(builders, function(x) return x.name end)
end
c.collapseRequests = function(_, _, one, two) return one.reason == two.reason end

c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "a", "b" }, properties = {
  util.ChoiceStringParameter{ name = "target", choices = function() return { "x", "y" } end },
  util.NestedParameter{ name = "", fields = { util.IntParameter{ name = "n", default = 3 } } } } } }

local Table = secrets.SecretProviderBase:extend("Table", { args = { values = "table" } })
function Table:get(name) return self.values[name] end
c.secretsProviders = { secrets.SecretInEnvironment{ prefix = "CI_" }, Table{ values = { four = "x" } } }

local settings = config.load("settings.yaml", { optional = true, defaults = { a = 1 } })
local answer = process.run({ "uname", "-m" }, { timeout = 5, check = true })
local m = regex.search("(?P<kind>\\w+)", answer.stdout)
local when = time.date{ tz = "Europe/Berlin" }
local shape = class("Shape")
function shape:area() return self.width * 2 end
local about = fs.stat("x")
local task = spawn(function() return json.decode("{}") end)
print(settings, m and m.kind, when.hour, task:wait(), util.timedelta{ days = 2 }, buildmoon.checking, isinstance(shape{}, shape),
  text.format("{a}", { a = 1 }), (regex.replace("a", "b", "abc")), os.getenv("HOME"), about and about.size)
