local c = BuildmasterConfig
local function with(name, hostconfig) return DockerLatentWorker{ name, None, "unix:///x", "ci", hostconfig = hostconfig } end
c.workers = {
  with("a", { mem_limit = "99999999999999999999g" }),
  with("b", { mem_limit = "9000000000t" }),
  with("c", { log_config = 5 }),
  with("d", { restart_policy = 5 }),
  with("e", { ulimits = { 5 } }),
  with("f", { devices = { 5 } }),
  with("g", { binds = { ["/a"] = { ro = true } } }),
  with("h", { ulimits = { name = "nofile", soft = 1024, hard = 2048 }, mem_limit = "2g", devices = { "/dev/kvm" } }),
}

--[==[ told
master.lua:4: DockerLatentWorker "a": hostconfig: mem_limit must be a number of bytes or text such as "512m", got "99999999999999999999g"
  --> master.lua:4
   | 4 |   with("a", { mem_limit = "99999999999999999999g" }),
master.lua:5: DockerLatentWorker "b": hostconfig: mem_limit must be a number of bytes or text such as "512m", got "9000000000t"
  --> master.lua:5
   | 5 |   with("b", { mem_limit = "9000000000t" }),
master.lua:6: DockerLatentWorker "c": hostconfig: log_config must be a table, got 5
  --> master.lua:6
   | 6 |   with("c", { log_config = 5 }),
master.lua:7: DockerLatentWorker "d": hostconfig: restart_policy must be a table, got 5
  --> master.lua:7
   | 7 |   with("d", { restart_policy = 5 }),
master.lua:8: DockerLatentWorker "e": hostconfig: ulimits must hold tables, got 5
  --> master.lua:8
   | 8 |   with("e", { ulimits = { 5 } }),
master.lua:9: DockerLatentWorker "f": hostconfig: devices must hold texts and tables, got 5
  --> master.lua:9
   | 9 |   with("f", { devices = { 5 } }),
master.lua:10: DockerLatentWorker "g": hostconfig: binds: /a must name the folder in the container: { bind = "/there" }
  --> master.lua:10
   | 10 |   with("g", { binds = { ["/a"] = { ro = true } } }),
7 mistakes
exit 1
]==]
