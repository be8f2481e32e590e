-- OpenStack's interfaces as the backend needs them: a token from Keystone that is renewed, the catalogue of services, requests whose
-- refusals are sorted, and lists that are read page by page. It starts and stops nothing.
local api = {}

-- A token that ends so soon is not used any more.
local SPARE = 60
local TIMEOUT = 30
local PAGE, MOST_PAGES = 200, 200
-- Where the API does not say when to come again.
local REST = 10

local sessions, busy = {}, {}

local function text_or_nil(value) if value ~= nil and value ~= "" then return tostring(value) end end

-- What stands in an answer that refuses, in one line.
function api.message(answer)
  local ok, body = pcall(function() return answer.json end)
  if ok and type(body) == "table" then
    local inner = body.message and body or select(2, next(body))
    if type(inner) == "table" and type(inner.message) == "string" then
      return ("%s (status %d)"):format(inner.message:gsub("%s+", " "):sub(1, 300), answer.status)
    end
  end
  local plain = answer.text:gsub("<[^>]*>", " "):gsub("%s+", " "):sub(1, 200)
  return ("status %d%s"):format(answer.status, text.strip(plain) ~= "" and ": " .. text.strip(plain) or "")
end

local function after(answer) return tonumber(answer.headers["retry-after"]) end

local function no_room(message) return message:lower():find("quota") or message:lower():find("not enough") or message:find("No valid host") end
api.no_room = no_room

-- A refusal of a call that starts nothing, or nothing if it refuses: what it means for the launch.
function api.refused(what, answer)
  local message = what .. ": " .. api.message(answer)
  if answer.status == 413 or answer.status == 429 then latent.retry(message, math.min(after(answer) or REST, 3600)) end
  if answer.status >= 500 or answer.status == 409 or answer.status == 408 then latent.retry(message, math.min(after(answer) or REST, 3600)) end
  if answer.status == 403 and no_room(message) then latent.capacity(message) end
  latent.config_error(message)
end

-- A request whose failure is a reason to try again later: nothing was started.
local function send(what, request)
  local ok, answer = pcall(http.request, request)
  if not ok then latent.retry(what .. " does not answer: " .. tostring(answer), REST) end
  return answer
end

-- AUTHENTICATION ------------------------------------------------------------------------------------------------------

local function domain(name, id)
  if text_or_nil(id) then return { id = tostring(id) } end
  if text_or_nil(name) then return { name = tostring(name) } end
  return { id = "default" }
end

local function scope(args)
  if text_or_nil(args.project_id) then return { project = { id = tostring(args.project_id) } } end
  if text_or_nil(args.project_name) then
    return { project = { name = tostring(args.project_name), domain = domain(args.project_domain_name, args.project_domain_id) } }
  end
end

local auth_names = list.set{ "auth_type", "auth_url", "username", "user_id", "password", "token", "user_domain_name", "user_domain_id", "project_name",
  "project_id", "tenant_name", "tenant_id", "project_domain_name", "project_domain_id", "application_credential_id",
  "application_credential_name", "application_credential_secret" }

local function known_names(args)
  for _, name in ipairs(dict.keys(args)) do
    if not auth_names[name] then latent.config_error(("os_auth_args: there is no '%s'; there is %s"):format(name, table.concat(dict.keys(auth_names), ", "))) end
  end
end

local function keystone(address)
  if not text_or_nil(address) then latent.config_error("there is no address of Keystone: os_auth_url, or auth_url in os_auth_args") end
  address = tostring(address):gsub("/+$", "")
  if address:find("/v2%.0$") then latent.config_error("os_auth_url: version 2 of Keystone's interface is gone: " .. address) end
  return address:find("/v3$") and address or address .. "/v3"
end

local function kind_of(args)
  local kind = (text_or_nil(args.auth_type) or (args.application_credential_secret and "applicationcredential") or (args.token and "token") or "password"):gsub("^v3", "")
  if kind ~= "applicationcredential" and kind ~= "token" and kind ~= "password" then
    latent.config_error(("os_auth_args: auth_type %q is not supported: there is password, token, v3applicationcredential"):format(kind))
  end
  return kind
end

-- What is wrong with the login whatever the build; what is rendered is not there yet.
function api.check_login(self)
  local args = self.os_auth_args
  if args and next(args) then
    known_names(args)
    kind_of(args)
    keystone(args.auth_url)
  elseif self.os_auth_url then
    keystone(self.os_auth_url)
  end
end

-- The address of Keystone and what it is asked.
local function identity(self)
  local args = self.os_auth_args
  if args == nil or next(args) == nil then
    args = { auth_url = self.os_auth_url, username = self.os_username, password = self.os_password, project_name = self.os_tenant_name,
      user_domain_name = self.os_user_domain, project_domain_name = self.os_project_domain }
  end
  known_names(args)
  args = dict.copy(args)
  args.project_name, args.project_id = args.project_name or args.tenant_name, args.project_id or args.tenant_id
  local address, kind = keystone(args.auth_url), kind_of(args)
  if kind == "applicationcredential" then
    local credential = { id = text_or_nil(args.application_credential_id), name = text_or_nil(args.application_credential_name), secret = args.application_credential_secret }
    if not credential.id then
      credential.user = { id = text_or_nil(args.user_id), name = text_or_nil(args.username), domain = args.username and domain(args.user_domain_name, args.user_domain_id) or nil }
    end
    return address, { identity = { methods = { "application_credential" }, application_credential = credential } }
  elseif kind == "token" then
    return address, { identity = { methods = { "token" }, token = { id = args.token } }, scope = scope(args) }
  else
    if not (text_or_nil(args.username) or text_or_nil(args.user_id)) or args.password == nil then
      latent.config_error("user or password for Keystone is missing: os_username, os_password")
    end
    local user = { password = args.password, id = text_or_nil(args.user_id) }
    if not user.id then user.name, user.domain = tostring(args.username), domain(args.user_domain_name, args.user_domain_id) end
    return address, { identity = { methods = { "password" }, password = { user = user } }, scope = scope(args) }
  end
end

local function verify(self)
  if self.os_cacert ~= nil then return self.os_cacert end
end

local function account(self)
  local address, auth = identity(self)
  return hash.sha256(address .. "\0" .. json.encode(auth)), address, auth
end

-- One login at a time; the others wait for it.
local function session_of(self, old)
  local key, address, auth = account(self)
  while busy[key] do sleep(0.02) end
  local known = sessions[key]
  if known and known ~= old and known.ends > time.now() + SPARE then return known end
  busy[key] = true
  local _ <close> = setmetatable({}, { __close = function() busy[key] = nil end })
  local what = "Keystone at " .. address
  local answer = send(what, { method = "POST", url = address .. "/auth/tokens", json = { auth = auth }, timeout = TIMEOUT, verify = verify(self) })
  if answer.status ~= 201 and answer.status ~= 200 then api.refused(what, answer) end
  local token = answer.headers["x-subject-token"]
  local about = answer.json.token
  if not token or type(about) ~= "table" then latent.retry(what .. " gave no token", REST) end
  if type(about.catalog) ~= "table" or #about.catalog == 0 then
    latent.config_error(what .. " gave a token without services: name the project (os_tenant_name)")
  end
  local ends = about.expires_at and time.parse(about.expires_at, { tz = "UTC" }) or time.now() + 3600
  local session = { token = token, ends = ends, catalog = about.catalog, project = about.project and about.project.id }
  sessions[key] = session
  return session
end

-- SERVICES ------------------------------------------------------------------------------------------------------------

local versions = { compute = "/v2.1", image = "/v2", network = "/v2.0" }

local function endpoint(session, service, region, interface)
  local regions = {}
  for _, entry in ipairs(session.catalog) do
    if entry.type == service then
      for _, point in ipairs(entry.endpoints or {}) do
        if (point.interface or "public") == interface then
          regions[#regions + 1] = point.region_id or point.region or "?"
          if region == nil or point.region == region or point.region_id == region then
            local address = point.url:gsub("/+$", "")
            if not address:find("/v%d") then address = address .. versions[service] end
            return address
          end
        end
      end
    end
  end
  if #regions == 0 then latent.config_error(("the cloud offers no %s service to this project (%s)"):format(service, interface)) end
  latent.config_error(("there is no region %q with a %s service; there is %s"):format(region, service, table.concat(list.sorted(list.unique(regions)), ", ")))
end

-- Is Nova asked for that version of its interface, or for a later one?
function api.is_at_least(self, version)
  local minor = function(text) return tonumber(text:match("^2%.(%d+)$")) or 1 end
  return minor(tostring(self.client_version or "2")) >= minor(version)
end

-- The answer of a service, whatever its status. A token that is refused is renewed once. A service that does not answer raises a plain error.
function api.ask(self, service, method, path, options)
  local session
  for _ = 1, 2 do
    session = session_of(self, session)
    local headers = { ["X-Auth-Token"] = session.token, Accept = "application/json" }
    local version = tostring(self.client_version or "2")
    if options and options.version then version = options.version end
    if service == "compute" and version:find("^2%.%d+$") and version ~= "2.1" then headers["OpenStack-API-Version"] = "compute " .. version end
    local answer = http.request{ method = method, url = endpoint(session, service, self.region, self.interface or "public") .. path,
      headers = headers, params = options and options.params, json = options and options.json, timeout = TIMEOUT, verify = verify(self) }
    if answer.status ~= 401 then return answer end
    if _ == 2 then return answer end
  end
end

-- Which servers it can see: those of this cloud, region and project.
function api.place(self)
  local key, address = account(self)
  -- The project stays the same when the token ends.
  local session = sessions[key] or session_of(self)
  return table.concat({ address, self.region or "first region", session.project or "no project" }, " ")
end

-- The same before anything was started: a service that does not answer is asked again later.
function api.ask_first(self, ...)
  local ok, answer = pcall(api.ask, self, ...)
  if ok then return answer end
  -- What is known to mean something goes on as it is.
  if type(answer) ~= "string" then error(answer, 0) end
  latent.retry("the cloud does not answer: " .. answer, REST)
end

-- All items of a list of Nova, page by page.
function api.all(self, ask, path, name, params)
  local items, marker = {}, nil
  for _ = 1, MOST_PAGES do
    local answer = ask(self, "compute", "GET", path, { params = dict.merge(params or {}, { limit = PAGE, marker = marker }) })
    if answer.status ~= 200 then return nil, answer end
    local page = answer.json[name]
    if type(page) ~= "table" then error(("GET %s: the answer has no '%s'"):format(path, name), 0) end
    list.extend(items, page)
    local more = list.any(answer.json[name .. "_links"] or {}, function(link) return link.rel == "next" end)
    if not more or #page == 0 then return items end
    marker = page[#page].id
  end
  error(("GET %s: more than %d pages"):format(path, MOST_PAGES), 0)
end

-- All images that a query finds. Glance names the next page by its path.
function api.images(self, params)
  local items, path = {}, "/images"
  params = dict.merge({ limit = PAGE }, params)
  for _ = 1, MOST_PAGES do
    local answer = api.ask_first(self, "image", "GET", path, { params = params })
    if answer.status ~= 200 then api.refused("the images can't be listed", answer) end
    list.extend(items, answer.json.images)
    if not answer.json.next then return items end
    path, params = answer.json.next:gsub("^.-/v2/", "/"), nil
  end
  error(("more than %d pages of images"):format(MOST_PAGES), 0)
end

return api
