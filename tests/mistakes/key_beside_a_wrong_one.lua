local c = BuildmasterConfig
c.title = 5
c.www = { prot = 8010 }
c.lua = { memory_limit = "1" }
c.protocols = { pb = { port = "unix:w.sock:mode=rw" } }

--[==[ told
master.lua:2: BuildmasterConfig: 'title' must be text, got 5
  --> master.lua:2
   | 2 | c.title = 5
master.lua:5: BuildmasterConfig.protocols.pb: 'port' has no mode of a file: "rw"; write mode=660 to let the socket's group connect, too
  --> master.lua:5
   | 5 | c.protocols = { pb = { port = "unix:w.sock:mode=rw" } }
master.lua:3: BuildmasterConfig.www: unknown key 'prot' (did you mean 'port'?)
  --> master.lua:3
   | 3 | c.www = { prot = 8010 }
master.lua:4: BuildmasterConfig.lua: 'memory_limit' must be a number of bytes (at least 1 MiB) or a size such as "256MiB", got "1"
  --> master.lua:4
   | 4 | c.lua = { memory_limit = "1" }
4 mistakes
exit 1
]==]
