-- Formatters of messages: what their classes have for subclasses to override or to call, and how one is called by the host.
local P = ...
local G, host, lib = P.globals, P.host, P.lib
local type, ipairs, next, error, tostring, rawget = lib.type, ipairs, next, lib.error, lib.tostring, lib.rawget
local setmetatable = lib.setmetatable
local read, render, nothing, describe = P.api.fs.read, P.api.template.render, P.nothing, P.describe

-- A context -> what the message says without the file's own functions.
local built_in = setmetatable({}, { __mode = "k" })

local base = {}
function base.buildAdditionalContext() end
function base:render_message_body(ctx)
  local said = built_in[ctx] or {}
  if nothing(self.template) then
    if self.template_type == "html" then return said.html end
    return said.text
  end
  return render(self.template, ctx, { html = self.template_type == "html" })
end
function base:render_message_subject(ctx)
  if nothing(self.subject) then return (built_in[ctx] or {}).subject end
  return render(self.subject, ctx)
end
function base:render_message_extra_info(ctx)
  local f = self.extra_info_cb
  if nothing(f) then return nil end
  return f(ctx)
end
function base:format(ctx)
  self:buildAdditionalContext(P.master, ctx)
  local body, said, html = self:render_message_body(ctx), built_in[ctx] or {}, nil
  -- The built-in text goes with its HTML.
  if nothing(self.template_type) and body == said.text then html = said.html end
  return {
    body = body, html = html, subject = self:render_message_subject(ctx), extra_info = self:render_message_extra_info(ctx),
  }
end

-- Those of them that are made otherwise.
local classes = { MessageFormatterRenderable = {}, MessageFormatterFunction = {}, MessageFormatterFunctionRaw = {}, MessageFormatterEmpty = {} }
function classes.MessageFormatterRenderable.render_message_body(_, ctx) return (built_in[ctx] or {}).text end
function classes.MessageFormatterRenderable.render_message_subject(_, ctx) return (built_in[ctx] or {}).subject end
function classes.MessageFormatterFunction:render_message_body(ctx) return self["function"](ctx) end
function classes.MessageFormatterFunctionRaw:format(ctx)
  self:buildAdditionalContext(P.master, ctx)
  return self["function"](P.master, ctx)
end
function classes.MessageFormatterEmpty.render_message_body() end
function classes.MessageFormatterEmpty.render_message_subject() end

for _, decl in ipairs(P.decls) do
  if decl.is_formatter then
    local class = rawget(G.reporters, decl.name)
    P.add_members(class, base)
    P.add_members(class, classes[decl.name] or {})
  end
end

local types = { plain = true, html = true, json = true }

local function text_or_nothing(value, what)
  if nothing(value) then return nil end
  if type(value) ~= "string" then error(("must give %s as text, got %s"):format(what, describe(value)), 0) end
  return value
end

local function tables(value)
  if nothing(value) then return nil end
  if type(value) ~= "table" or lib.getmetatable(value) then error("must give extra_info as a table of tables, got " .. describe(value), 0) end
  for name, inner in next, value do
    if type(name) ~= "string" or type(inner) ~= "table" then
      error(("must give extra_info as a table of tables, got %s at %s"):format(describe(inner), tostring(name)), 0)
    end
  end
  return value
end

-- What a formatter made of a context, in one shape.
local function checked(self, answer)
  if type(answer) == "string" then answer = { body = answer } end
  if type(answer) ~= "table" or lib.getmetatable(answer) then
    error("must give a text or a table of body, type, subject and extra_info, got " .. describe(answer), 0)
  end
  local kind = answer.type
  if nothing(kind) then kind = self.template_type end
  if nothing(kind) then kind = "plain" end
  if not types[kind] then error("must give 'plain', 'html' or 'json' as type, got " .. describe(kind), 0) end
  local html = text_or_nothing(answer.html, "html")
  if html and kind ~= "plain" then error("html stands beside a plain body only, the type is " .. kind, 0) end
  local body = answer.body
  if kind ~= "json" then body = text_or_nothing(body, "the body") end
  return {
    body = body, html = html, type = kind, subject = text_or_nothing(answer.subject, "the subject"), extra_info = tables(answer.extra_info),
  }
end

local function message(self, input)
  local ctx = P.clean(input.context)
  if not nothing(self.ctx) then
    for name, value in next, self.ctx do ctx[name] = value end
  end
  built_in[ctx] = P.clean(input.said)
  return checked(self, self:format(ctx))
end

function P.invoke.format_message(bound, input) return bound(input) end

local function holds_function(value, depth)
  if type(value) == "function" then return value end
  if depth > 50 or type(value) ~= "table" or lib.getmetatable(value) then return nil end
  local names = {}
  for name in next, value do names[#names + 1] = name end
  lib.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    local found = holds_function(value[name], depth + 1)
    if found then return found end
  end
end

local hooks = { "format", "render_message_body", "render_message_subject", "render_message_extra_info", "buildAdditionalContext" }
local gone = {
  "format_message_for_build", "format_message_for_buildset", "format_message_for_missing_worker", "render_message_dict",
  "formatMessageForBuildResults", "formatMessageForMissingWorker",
}

-- The first function of the file's own that the making of a message comes upon.
local function own_function(info, record)
  for _, name in ipairs(hooks) do
    local own = P.own_member(info, name)
    if type(own) == "function" then return own end
  end
  for _, name in ipairs{ "format", "function", "extra_info_cb" } do
    local given = P.given(record, info.decl.by_name[name] or {})
    if type(given) == "function" then return given end
  end
  return holds_function(P.given(record, info.decl.by_name.ctx or {}), 0)
end

local function read_file(self, record, what)
  local name, folder = self[what .. "_filename"], self.template_dir
  if type(name) ~= "string" then return end
  local subject = record.info.name
  if not nothing(self[what]) then
    host.mistake(("'%s' given twice, also as the file '%s'"):format(what, name), subject, record.place)
    return
  end
  local path = name
  if type(folder) == "string" then path = folder .. "/" .. name end
  local ok, content = lib.xpcall(function() return read(path) end, function(e) return host.error_text(e) or tostring(e) end)
  if not ok then
    host.mistake(("'%s_filename': %s"):format(what, content), subject, record.place)
  elseif not utf8.len(content) then
    host.mistake(("'%s_filename': %s is not UTF-8"):format(what, path), subject, record.place)
  else
    record.named[what] = content
  end
end

-- At the end of the file: what templates are in files is read, and a formatter that needs Lua gets one function that does all.
function P.bind_formatter(self, record)
  local info = record.info
  if info.decl.by_name.template_filename then
    read_file(self, record, "template")
    read_file(self, record, "subject")
  end
  for _, name in ipairs(gone) do
    if P.own_member(info, name) ~= nil then
      host.mistake(("the method '%s' is not called: write format(self, ctx), which gives the text or a table of body, type, subject"):format(name),
        info.name, record.place)
    end
  end
  local given = P.given(record, info.decl.by_name.format)
  local written = (nothing(given) or type(given) == "function") and own_function(info, record)
  if not written then return end
  local function bound(input) return message(self, input) end
  P.origins[bound] = written
  record.bound = { format = bound }
end
