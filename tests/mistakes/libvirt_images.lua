local c = BuildmasterConfig
c.workers = {
  LibVirtWorker{ "bot", None, "/srv/ci.qcow2", "/srv/ci.qcow2" },
  LibVirtWorker{ "other", None, xml = "<network/>", memory = 0 },
}

--[==[ told
master.lua:3: LibVirtWorker "bot": hd_image and base_image are the same file
  --> master.lua:3
   | 3 |   LibVirtWorker{ "bot", None, "/srv/ci.qcow2", "/srv/ci.qcow2" },
master.lua:4: LibVirtWorker "other": 'xml' describes no domain: it has no <domain>
  --> master.lua:4
   | 4 |   LibVirtWorker{ "other", None, xml = "<network/>", memory = 0 },
master.lua:4: LibVirtWorker "other": 'memory' must be a whole number ≥ 1, got 0
  --> master.lua:4
   | 4 |   LibVirtWorker{ "other", None, xml = "<network/>", memory = 0 },
3 mistakes
exit 1
]==]
