local c = BuildmasterConfig
local function server(name, more)
  return OpenStackLatentWorker(dict.merge({ name, None, "m1", image = "debian", os_username = "ci", os_password = "pw", os_auth_url = "https://cloud" }, more))
end
c.workers = {
  server("a", { os_auth_url = "https://cloud/v2.0" }),
  OpenStackLatentWorker{ "b", None, "m1", image = "debian", os_auth_args = { auth_url = "https://cloud", usrname = "ci" } },
  OpenStackLatentWorker{ "c", None, "m1", image = "debian", os_auth_args = { auth_url = "https://cloud", auth_type = "saml" } },
  OpenStackLatentWorker{ "d", None, "m1", image = "debian", os_auth_args = { token = "x" } },
  server("e", { block_devices = { { volume_size = 5 } } }),
  server("f", { meta = { note = ("x"):rep(300) } }),
  server("g", { os_password = util.Secret("cloud"), block_devices = { { uuid = Interpolate("%(prop:image)s") } } }),
}
c.secretsProviders = { secrets.SecretInAFile{ "secrets" } }

--[==[ told
master.lua:6: OpenStackLatentWorker "a": os_auth_url: version 2 of Keystone's interface is gone: https://cloud/v2.0
  --> master.lua:6
   | 6 |   server("a", { os_auth_url = "https://cloud/v2.0" }),
master.lua:7: OpenStackLatentWorker "b": os_auth_args: there is no 'usrname'; there is application_credential_id, application_credential_name, application_credential_secret, auth_type, auth_url, password, project_domain_id, project_domain_name, project_id, project_name, tenant_id, tenant_name, token, user_domain_id, user_domain_name, user_id, username
  --> master.lua:7
   | 7 |   OpenStackLatentWorker{ "b", None, "m1", image = "debian", os_auth_args = { auth_url = "https://cloud", usrname = "ci" } },
master.lua:8: OpenStackLatentWorker "c": os_auth_args: auth_type "saml" is not supported: there is password, token, v3applicationcredential
  --> master.lua:8
   | 8 |   OpenStackLatentWorker{ "c", None, "m1", image = "debian", os_auth_args = { auth_url = "https://cloud", auth_type = "saml" } },
master.lua:9: OpenStackLatentWorker "d": there is no address of Keystone: os_auth_url, or auth_url in os_auth_args
  --> master.lua:9
   | 9 |   OpenStackLatentWorker{ "d", None, "m1", image = "debian", os_auth_args = { token = "x" } },
master.lua:10: OpenStackLatentWorker "e": block_devices[1] has no 'uuid'
  --> master.lua:10
   | 10 |   server("e", { block_devices = { { volume_size = 5 } } }),
master.lua:11: OpenStackLatentWorker "f": meta: note is longer than the 255 bytes that metadata take
  --> master.lua:11
   | 11 |   server("f", { meta = { note = ("x"):rep(300) } }),
6 mistakes
exit 1
]==]
