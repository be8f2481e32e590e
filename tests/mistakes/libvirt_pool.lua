local c = BuildmasterConfig
c.workers = {
  LibVirtWorker{ "a", None, "/srv/images/ci.qcow2", "/srv/images/base.qcow2", pool = { max = 3 } },
  LibVirtWorker{ "b", None, None, "/srv/images/base.qcow2", pool = { max = 3 } },
}

--[==[ told
master.lua:3: LibVirtWorker "a": hd_image "/srv/images/ci.qcow2" is one file, and each worker of a pool needs a disk of its own: name a folder, which is there
  --> master.lua:3
   | 3 |   LibVirtWorker{ "a", None, "/srv/images/ci.qcow2", "/srv/images/base.qcow2", pool = { max = 3 } },
1 mistake
exit 1
]==]
