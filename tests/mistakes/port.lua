local c = BuildmasterConfig
c.protocols = { pb = { port = 99999 } }

--[==[ told
master.lua:2: BuildmasterConfig.protocols.pb: 'port' must be a port number or a text such as "tcp:9989:interface=127.0.0.1" or a list of port numbers, got 99999
  --> master.lua:2
   | 2 | c.protocols = { pb = { port = 99999 } }
1 mistake
exit 1
]==]
