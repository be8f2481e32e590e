local c = BuildmasterConfig
c.db = { db_url = "postgresql://bob:secret@localhost/ci" }

--[==[ told
master.lua:2: BuildmasterConfig.db: 'db_url' can't be a postgresql database: only SQLite is supported yet
  --> master.lua:2
   | 2 | c.db = { db_url = "postgresql://bob:secret@localhost/ci" }
1 mistake
exit 1
]==]
