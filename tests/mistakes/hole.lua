local c = BuildmasterConfig
c.workers = { EC2LatentWorker{ "bot", nil, "m1.large", ami = "ami-1" } }
local step = steps.ShellCommand{ command = { "make", nil, "check" } }
local choice = util.ChoiceStringParameter{ name = "target", choices = { "a", nil, "b" } }
local property = steps.SetProperty{ "list", { 1, nil, 3 } }

--[==[ told
master.lua:2: EC2LatentWorker "bot": has the key [3], which is neither a name nor the next position: [2] is nil; where nothing is meant, write None
  --> master.lua:2
   | 2 | c.workers = { EC2LatentWorker{ "bot", nil, "m1.large", ami = "ami-1" } }
master.lua:2: EC2LatentWorker "bot": missing argument 'instance_type'
  --> master.lua:2
   | 2 | c.workers = { EC2LatentWorker{ "bot", nil, "m1.large", ami = "ami-1" } }
master.lua:3: ShellCommand: 'command' has the key [3], which is neither a name nor the next position: [2] is nil; where nothing is meant, write None
  --> master.lua:3
   | 3 | local step = steps.ShellCommand{ command = { "make", nil, "check" } }
master.lua:4: ChoiceStringParameter "target": 'choices' has the key [3], which is neither a name nor the next position: [2] is nil; where nothing is meant, write None
  --> master.lua:4
   | 4 | local choice = util.ChoiceStringParameter{ name = "target", choices = { "a", nil, "b" } }
master.lua:5: SetProperty: 'value' has the key [3], which is neither a name nor the next position: [2] is nil; where nothing is meant, write None
  --> master.lua:5
   | 5 | local property = steps.SetProperty{ "list", { 1, nil, 3 } }
5 mistakes
exit 1
]==]
