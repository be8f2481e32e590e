local c = BuildmasterConfig
c.workers = {
  Worker{ "w", "pw",
    properties = { os = "linux" },
    max_build = 2 },
}

--[==[ told
master.lua:3: Worker "w": unknown argument 'max_build' (did you mean 'max_builds'?)
  --> master.lua:3
   | 3 |   Worker{ "w", "pw",
   …
   | 5 |     max_build = 2 },
1 mistake
exit 1
]==]
