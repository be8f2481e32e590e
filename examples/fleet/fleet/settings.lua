-- What settings.yaml says, as tables that the rest can use: every worker with the defaults filled in.
local settings = config.load("settings.yaml", { defaults = { kinds = {}, branches = {}, workers = {} } })

local M = { branches = settings.branches, kinds = settings.kinds, workers = {} }

for name, given in dict.sorted_pairs(settings.workers) do
  local worker = dict.merge(settings.defaults, given, { name = name })
  -- "debian-x86_64-3" runs on "debian-x86_64".
  worker.platform = regex.match([[(.+)-\d+$]], name)[1]
  M.workers[#M.workers + 1] = worker
end

return M
