local c = BuildmasterConfig
local Mine = util.BuildFactory:extend("Mine")
function Mine:init(args)
  Mine.super.init(self, { workdr = args.dir })
end
local f = Mine{ dir = "src" }

--[==[ told
master.lua:6: Mine: unknown argument 'workdr' (did you mean 'workdir'?)
  --> master.lua:6
   | 6 | local f = Mine{ dir = "src" }
1 mistake
exit 1
]==]
