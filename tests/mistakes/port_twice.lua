local c = BuildmasterConfig
c.protocols = { pb = { port = { 9989, "tcp:9989:interface=127.0.0.1", "unix:w.sock:mode=600" } } }
c.www = { port = 9989 }

--[==[ told
master.lua:2: BuildmasterConfig: protocols.pb can't listen on *:9989 twice
  --> master.lua:2
   | 2 | c.protocols = { pb = { port = { 9989, "tcp:9989:interface=127.0.0.1", "unix:w.sock:mode=600" } } }
master.lua:3: BuildmasterConfig: protocols.pb and www can't both listen on *:9989
  --> master.lua:3
   | 3 | c.www = { port = 9989 }
master.lua:3: BuildmasterConfig: protocols.pb and www can't both listen on 127.0.0.1:9989
  --> master.lua:3
   | 3 | c.www = { port = 9989 }
3 mistakes
exit 1
]==]
