local c = BuildmasterConfig
title = "x"
c.title = title

--[==[ told
master.lua:2: 'title' would be a new global: write 'local title'
  --> master.lua:2
   | 2 | title = "x"
1 mistake
exit 1
]==]
