-- A backend of one's own: a class that says how a worker's machine is started, stopped and found again. Here the machine is a process of
-- this one that runs a stock worker; a rack, a hypervisor or a cloud takes the same four methods. All else is the master's: when to start
-- and stop, deadlines, retries, what is left over after a crash.
--
--     pip install buildbot-worker         then start the master here, and
--     buildmoon force force --builder hello --wait

local c = BuildmasterConfig

-- THE BACKEND -------------------------------------------------------------------------------------------------------

local Processes = LatentWorker:extend("ProcessWorker", { args = { program = { "string", default = "buildbot-worker" } } })

local TAC = [[
import os
from buildbot_worker.bot import Worker
from twisted.application import service
application = service.Application('buildbot-worker')
host, port, name, password = [os.environ.pop(n) for n in ("BUILDMASTER", "BUILDMASTER_PORT", "WORKERNAME", "WORKERPASS")]
Worker(host, int(port), name, password, os.getcwd(), 600, maxdelay=10).setServiceParent(application)
]]

-- May be called a second time with the same launch id, and must not start a second machine then.
function Processes:start_instance(build)
  local running = self:list_instances(self.launch_id)[1]
  if running then return running end
  local folder = "workers/" .. self.name
  fs.mkdir(folder)
  fs.write(folder .. "/buildbot.tac", TAC)
  local p = process.start({ self.program, "start", "--nodaemon", "." }, {
    cwd = folder, stdout = folder .. "/output.log", stderr = "stdout",
    detached = true, -- it outlives the master
    env = { BUILDMASTER = "127.0.0.1", BUILDMASTER_PORT = self.master_port, WORKERNAME = self.name, WORKERPASS = self.password,
      CI_MASTER = self.master_id, CI_LAUNCH = self.launch_id }, -- the mark by which it is found
  })
  return { handle = { pid = p.pid, started = p.started }, status = { "process", p.pid } }
end

-- Returns when nothing of it runs any more. What the worker itself has started has the mark, too.
function Processes:stop_instance(handle, fast)
  for _, p in ipairs(process.find{ CI_MASTER = self.master_id, CI_LAUNCH = self.launch_id }) do process.stop(p, fast and 1 or 10) end
end

function Processes:check_instance(handle)
  return process.alive(handle), "the worker's process has ended: see workers/" .. self.name .. "/output.log"
end

-- Everything that carries this master's mark.
function Processes:list_instances(launch)
  return list.map(process.find{ CI_MASTER = self.master_id, CI_LAUNCH = launch or true }, function(p)
    return { launch_id = p.env.CI_LAUNCH, handle = { pid = p.pid, started = p.started } }
  end)
end

-- WORKERS AND BUILDERS ----------------------------------------------------------------------------------------------

-- Two of them, each kept for a minute after its last build. Without a password each start gets one of its own.
c.workers = { Processes{ "bot", build_wait_timeout = 60, pool = { max = 2 } } }
c.protocols = { pb = { port = "tcp:9989:interface=127.0.0.1" } }

c.builders = {
  util.BuilderConfig{ name = "hello", workernames = { "bot" }, factory = util.BuildFactory{
    steps.ShellCommand{ name = "greet", command = { "echo", Interpolate("Hello from %(prop:workername)s") } },
  } },
}
c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = { "hello" } } }

c.www = { port = "tcp:8010:interface=127.0.0.1" }
c.buildbotURL = "http://localhost:8010/"
