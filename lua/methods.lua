-- Methods of the host's classes, for subclasses to override or to call.
local P = ...
local lib, records, NULL = P.lib, P.records, P.null
local type, pairs, ipairs, select, error, setmetatable = lib.type, lib.pairs, ipairs, lib.select, lib.error, lib.setmetatable

local tonumber, tointeger = tonumber, math.tointeger

-- Ready-made functions for 'warningExtractor'.
local extractors = {}
function extractors.warnExtractWholeLine(_, line) return nil, nil, line end
function extractors.warnExtractFromRegexpGroups(_, _, match) return match:group(1), match:group(2), match:group(3) end
for _, name in ipairs{ "WarningCountingShellCommand", "Compile", "Test" } do P.methods[name] = extractors end

-- A renderer takes values that are rendered first.
P.methods.renderer = {}
function P.methods.renderer:withArgs(...)
  local record = records[self]
  local n, last = select("#", ...), select(-1, nil, ...)
  local items, named = {}, {}
  for i, value in ipairs(record.items) do items[i] = value end
  for name, value in pairs(record.named) do
    if name == "function" then items[1] = value else named[name] = value end
  end
  if n > 0 and P.is_plain(last) and P.only_names(last) then
    n = n - 1
    for name, value in pairs(last) do named[name] = value end
  end
  for i = 1, n do
    local value = (select(i, ...))
    if value == nil then value = NULL end
    items[#items + 1] = value
  end
  for i, value in pairs(items) do named[i] = value end
  return record.info.class(named)
end

-- What a parameter makes of what was entered, for those that do it otherwise and call this first.
local function parse_from_args(self, texts)
  if not self.multiple then return self:parse_from_arg(texts[1]) end
  local values = {}
  for i, text in ipairs(texts) do values[i] = self:parse_from_arg(text) end
  return values
end
local parsers = { parse_from_arg = function(_, text) return text end, parse_from_args = parse_from_args }
local whole = { parse_from_args = parse_from_args }
function whole.parse_from_arg(_, text)
  local number = tointeger(tonumber(text))
  if not number then error(("%q is no whole number"):format(text), 0) end
  return number
end
local yes = { ["true"] = true, on = true, yes = true, ["1"] = true, checked = true }
local truth = { parse_from_args = parse_from_args, parse_from_arg = function(_, text) return yes[text:lower()] or false end }
local chosen = { parse_from_args = parse_from_args }
function chosen.parse_from_arg(self, text)
  local choices = self.choices
  if type(choices) == "function" then choices = choices(self) end
  if self.strict == false then return text end
  for _, choice in ipairs(choices) do
    if choice == text then return text end
  end
  error(("%q does not belong to the choices: %s"):format(text, lib.concat(choices, ", ")), 0)
end
for _, decl in ipairs(P.decls) do
  if decl.is_parameter then P.methods[decl.name] = parsers end
end
P.methods.IntParameter, P.methods.BooleanParameter, P.methods.ChoiceStringParameter = whole, truth, chosen

-- Methods that the host takes as arguments know their instance; a function that was given as the argument is called as it is.
function P.bind_methods(self, record)
  for _, name in ipairs(record.info.decl.bound) do
    local given, method = record.named[name], P.own_member(record.info, name)
    if type(method) == "function" and (given == nil or rawequal(given, method)) then
      local function bound(...) return method(self, ...) end
      P.origins[bound] = method
      record.bound = record.bound or {}
      record.bound[name] = bound
    end
  end
end

-- The functions of a parameter know which one they belong to.
P.origins = setmetatable({}, { __mode = "k" }) -- what the host calls -> what the file wrote
function P.bind(self, record)
  for _, name in ipairs{ "choices", "parse_from_arg", "parse_from_args" } do
    local f = record.named[name]
    if type(f) == "function" then
      local function bound(...) return f(self, ...) end
      P.origins[bound] = f
      record.bound = record.bound or {}
      record.bound[name] = bound
    end
  end
end
