-- checkconfig: --json
local c = BuildmasterConfig
local farm = require("lib.farm")
c.workers = farm.farm{ "a" }

--[==[ told
{"mistakes":[{"file":"lib/farm.lua","line":4,"message":"lib/farm.lua:4 (from lib/farm.lua:10, master.lua:4): Worker \"a\": unknown argument 'max_build' (did you mean 'max_builds'?)","severity":"error","source":"  local made = Worker(dict.merge({ name, \"pw\" }, options or {}))","subject":"Worker \"a\"","text":"unknown argument 'max_build' (did you mean 'max_builds'?)","trace":[{"file":"lib/farm.lua","function":"farm","line":10},{"file":"master.lua","function":"","line":4}]}],"ok":false,"warnings":[]}
exit 1
]==]
