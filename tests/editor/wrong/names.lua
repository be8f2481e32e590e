-- Names that are not there.
local c = BuildmasterConfig

c.workrs = {} --> inject-field workrs
c.www = { prt = 8010 } --> assign-type-mismatch prt
c.title = 5 --> assign-type-mismatch string
Wrker{ "bot", "pass" } --> undefined-global Wrker

local f = util.BuildFactory()
f:addStp(steps.ShellCommand{ command = "make" }) --> undefined-field addStp
f:addStep(steps.ShelCommand{ command = "make" }) --> undefined-field ShelCommand
c.builders = { utils.BuilderConfig{ name = "a" } } --> undefined-global utils
fs.raed("file") --> undefined-field raed
local h = http.get("https://example.org/")
print(h.stauts) --> undefined-field stauts
local r = regex.compile("x")
print(r:serch("x")) --> undefined-field serch
print(fs.read(5)) --> param-type-mismatch string
print(util.FAILUR) --> undefined-field FAILUR
