local c = BuildmasterConfig
c.db_url = "sqlite:///a.sqlite"
c.db = { db_url = "sqlite:///b.sqlite" }

--[==[ told
master.lua:2: BuildmasterConfig: 'db_url' is given twice, in c.db too, and they differ
  --> master.lua:2
   | 2 | c.db_url = "sqlite:///a.sqlite"
1 mistake
exit 1
]==]
