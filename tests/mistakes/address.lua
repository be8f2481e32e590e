local c = BuildmasterConfig
c.workers = { Worker{ "w", "pw", notify_on_missing = "ops" } }

--[==[ told
master.lua:2: Worker "w": 'notify_on_missing' must be an address of mail such as "ann@example.org" or "Ann <ann@example.org>" or a list of addresses of mail, got "ops"
  --> master.lua:2
   | 2 | c.workers = { Worker{ "w", "pw", notify_on_missing = "ops" } }
1 mistake
exit 1
]==]
