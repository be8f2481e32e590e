local c = BuildmasterConfig
if c.title != "x" then c.title = "x" end

--[==[ told
master.lua:2: 'then' expected near '!'; Lua writes ~= for != and not x for !x
  --> master.lua:2
   | 2 | if c.title != "x" then c.title = "x" end
1 mistake
exit 1
]==]
