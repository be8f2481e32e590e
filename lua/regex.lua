-- regex: regular expressions, as functions and as methods of a compiled pattern.
local native, check = ...
local setmetatable, type, error, concat, ipairs = setmetatable, type, error, table.concat, ipairs

local regex, methods = {}, {}
local compiled = setmetatable({}, { __mode = "k" })
local pattern_mt = {
  __index = methods, __name = "Pattern", __metatable = "Pattern",
  __newindex = function() error("a pattern can't be changed", 2) end,
  __tostring = function(self) return "Pattern " .. compiled[self].source end,
}

function regex.compile(source, flags)
  local made = native.compile("regex.compile", source, flags)
  local self = setmetatable({}, pattern_mt)
  compiled[self] = { native = made, source = source, flags = flags or "" }
  return self
end

-- For the host: the text of a compiled pattern with its flags.
function native.text_of(pattern)
  local it = compiled[pattern]
  return it and (it.flags == "" and it.source or "(?" .. it.flags .. ")" .. it.source)
end

local function own(what, pattern)
  local it = compiled[pattern]
  if not it then error(what .. " is a method: call it with a colon, pattern:" .. what:match("[^.]*$") .. "(…)", 3) end
  return it.native
end

local function given(what, pattern, flags)
  if compiled[pattern] then
    if flags ~= nil then check.fail(what, "a compiled pattern has its flags already", 2) end
    return compiled[pattern].native
  end
  return native.compile(what, pattern, flags)
end

for _, name in ipairs{ "match", "search", "fullmatch", "find_all" } do
  local what, f = "regex." .. name, native[name]
  regex[name] = function(pattern, subject, flags) return (f(what, given(what, pattern, flags), subject)) end
  methods[name] = function(self, subject) return (f(what, own(what, self), subject)) end
end

-- The function is called here, between the searches, so that it may wait.
local function replace(what, pattern, replacement, subject, count)
  if type(replacement) ~= "function" then return native.replace(what, pattern, replacement, subject, count) end
  local out, from = {}, 1
  local matches, places = native.find_all(what, pattern, subject, count)
  for i = 1, #matches do
    local first, last = places[2 * i - 1], places[2 * i]
    local text = replacement(matches[i])
    if type(text) ~= "string" then
      error(("%s: the function must return text, got %s"):format(what, check.describe(text)), 0)
    end
    out[#out + 1] = subject:sub(from, first - 1)
    out[#out + 1] = text
    from = last + 1
  end
  out[#out + 1] = subject:sub(from)
  return concat(out), #matches
end

function regex.replace(pattern, replacement, subject, count, flags)
  return replace("regex.replace", given("regex.replace", pattern, flags), replacement, subject, count)
end
function methods:replace(replacement, subject, count)
  return replace("regex.replace", own("regex.replace", self), replacement, subject, count)
end

function regex.split(pattern, subject, count, flags) return (native.split("regex.split", given("regex.split", pattern, flags), subject, count)) end
function methods:split(subject, count) return (native.split("regex.split", own("regex.split", self), subject, count)) end

regex.escape = native.escape
return regex
