local c = BuildmasterConfig
c.protocols = { pb = { port = "ssl:9990:privateKey=k.pem" } }

--[==[ told
master.lua:2: BuildmasterConfig.protocols.pb: 'port' can't be an "ssl:" endpoint: it is not supported yet; put a proxy such as nginx before it
  --> master.lua:2
   | 2 | c.protocols = { pb = { port = "ssl:9990:privateKey=k.pem" } }
1 mistake
exit 1
]==]
