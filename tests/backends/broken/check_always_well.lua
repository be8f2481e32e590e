-- breaks: stop
-- says: check_instance says that the instance is well
-- Looks at nothing.
local Broken = require("base"):extend("CheckAlwaysWell")
function Broken:check_instance(handle) return true end

BuildmasterConfig.workers = { Broken{ "unit" } }
