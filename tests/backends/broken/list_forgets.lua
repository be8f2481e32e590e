-- breaks: list
-- says: it does not list the instance that was just started
-- An empty list says that nothing runs.
local Broken = require("base"):extend("ListForgets")
function Broken:list_instances() return {} end

BuildmasterConfig.workers = { Broken{ "unit" } }
