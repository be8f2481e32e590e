-- breaks: start
-- says: did not return within
-- Never ends.
local Broken = require("base"):extend("StartLoops")
function Broken:start_instance(build) while true do end end

BuildmasterConfig.workers = { Broken{ "unit" } }
