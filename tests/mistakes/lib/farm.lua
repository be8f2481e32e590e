local farm = {}

function farm.worker(name, options)
  local made = Worker(dict.merge({ name, "pw" }, options or {}))
  return made
end

function farm.farm(names)
  local workers = {}
  for i, name in ipairs(names) do workers[i] = farm.worker(name, { max_build = 2 }) end
  return workers
end

return farm
