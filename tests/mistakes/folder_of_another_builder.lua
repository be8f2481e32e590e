local c = BuildmasterConfig
c.workers = { LocalWorker{ "linux" } }
local f = util.BuildFactory{ steps.ShellCommand{ command = "make" } }
c.builders = {
  util.BuilderConfig{ name = "a", workernames = "linux", factory = f, builddir = "x" },
  util.BuilderConfig{ name = "b", workernames = "linux", factory = f, builddir = "x" },
}

--[==[ told
master.lua:6: BuilderConfig "b": builddir 'x' is that of BuilderConfig "a" (master.lua:5) too
  --> master.lua:6
   | 6 |   util.BuilderConfig{ name = "b", workernames = "linux", factory = f, builddir = "x" },
1 mistake
exit 1
]==]
