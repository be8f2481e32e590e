-- breaks: stop, lost_handle, fast_stop
-- says: stop_instance has returned, and the instance is still listed
-- Says that it stopped what it never touched.
local Broken = require("base"):extend("StopLies")
function Broken:stop_instance(handle, fast) http.get(self.rack_url .. "/units/" .. handle) end

BuildmasterConfig.workers = { Broken{ "unit" } }
