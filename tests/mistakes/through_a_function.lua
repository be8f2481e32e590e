local c = BuildmasterConfig
local function worker(name)
  local made = Worker{ name, "pw", max_build = 2 }
  return made
end
local function all(names)
  return { worker(names[1]) }
end
c.workers = all{ "a" }

--[==[ told
master.lua:3: Worker "a": unknown argument 'max_build' (did you mean 'max_builds'?)
  --> master.lua:3
   | 3 |   local made = Worker{ name, "pw", max_build = 2 }
   = called from all() at master.lua:7
   = called from master.lua:9
1 mistake
exit 1
]==]
