local c = BuildmasterConfig
local r = util.renderer(function(props) return "x" end)

--[==[ told
. is good: 0 workers, 0 builders, 0 schedulers
exit 0
]==]
