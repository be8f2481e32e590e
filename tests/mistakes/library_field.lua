local c = BuildmasterConfig
local all = list.concatt({ 1 }, { 2 })

--[==[ told
master.lua:2: attempt to call a nil value (field 'concatt'); 'list.concatt' is not defined (did you mean 'list.concat'?)
  --> master.lua:2
   | 2 | local all = list.concatt({ 1 }, { 2 })
1 mistake
exit 1
]==]
