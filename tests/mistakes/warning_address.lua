-- checkconfig: --strict
local c = BuildmasterConfig
c.buildbotURL = "localhost:8010"

--[==[ told
master.lua:3: BuildmasterConfig: 'buildbotURL' must begin with http:// or https:// for links in mails and pages to lead anywhere
  --> master.lua:3
   | 3 | c.buildbotURL = "localhost:8010"
1 mistake
exit 1
]==]
