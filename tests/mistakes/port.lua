local c = BuildmasterConfig
c.protocols = { pb = { port = 99999 } }

--[==[ told
master.lua:2: BuildmasterConfig.protocols.pb: 'port' must be a port from 0 to 65535, got 99999
  --> master.lua:2
   | 2 | c.protocols = { pb = { port = 99999 } }
1 mistake
exit 1
]==]
