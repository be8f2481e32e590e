-- A provider of secrets of our own: the password of a worker follows from one key, so that fifty of them need one file.
-- The key is in the file that FLEET_KEY_FILE names, or in fleet.key beside master.lua.
local WorkerPasswords = secrets.SecretProviderBase:extend("WorkerPasswords", {
  args = { key_file = { "string", default = "fleet.key" } },
})

function WorkerPasswords:get(name)
  local worker = regex.match([[worker/(.+)$]], name)
  if not worker then return nil end -- somebody else's secret
  local key = text.strip(fs.read(self.key_file))
  return hash.hmac_sha256(key, worker[1]):sub(1, 32)
end

return WorkerPasswords
