local c = BuildmasterConfig
latent.capacty("no room")
store.put("a", 1)

--[==[ told
master.lua:2: attempt to call a nil value (field 'capacty'); 'latent.capacty' is not defined (did you mean 'latent.capacity'?)
  --> master.lua:2
   | 2 | latent.capacty("no room")
1 mistake
exit 1
]==]
