local c = BuildmasterConfig
c.lua = { memory_limit = "lots" }

--[==[ told
master.lua:2: BuildmasterConfig.lua: 'memory_limit' must be a number of bytes (at least 1 MiB) or a size such as "256MiB", got "lots"
  --> master.lua:2
   | 2 | c.lua = { memory_limit = "lots" }
1 mistake
exit 1
]==]
