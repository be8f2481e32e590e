-- Keeps every promise.
local Rack = require("broken.base")
BuildmasterConfig.workers = { Rack{ "unit" } }
