local c = BuildmasterConfig
latent.capacty("no room")
store.put("a", 1)
