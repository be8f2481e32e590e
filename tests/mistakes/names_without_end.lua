local c = BuildmasterConfig
local many = {}
for i = 1, 5000 do many[i] = "worker" .. i end
c.workers = { FakeLatentWorker{ ("g"):rep(48), pool = { max = 100 } } }
c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }

--[==[ told
master.lua:4: FakeLatentWorker "gggggggggggggggggggggggggggggggggggggggggggggggg": pool: the name of its last worker, 'gggggggggggggggggggggggggggggggggggggggggggggggg-100', is longer than 50 characters
  --> master.lua:4
   | 4 | c.workers = { FakeLatentWorker{ ("g"):rep(48), pool = { max = 100 } } }
master.lua:5: BuilderConfig "b": workernames names 'worker1', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker2', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker3', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker4', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker5', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker6', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker7', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker8', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker9', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker10', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker11', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker12', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker13', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker14', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker15', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker16', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker17', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker18', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker19', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 'worker20', which is no worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
master.lua:5: BuilderConfig "b": workernames names 4980 more of which none is a worker
  --> master.lua:5
   | 5 | c.builders = { util.BuilderConfig{ name = "b", workernames = many, factory = util.BuildFactory{} } }
22 mistakes
exit 1
]==]
