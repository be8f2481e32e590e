local c = BuildmasterConfig
local function later() return steps.Git{}, MailNotifier{}, reporters.MailNotfier end

--[==[ told
master.lua:2: 'reporters.MailNotfier' is not defined (did you mean 'reporters.MailNotifier'?)
  --> master.lua:2
   | 2 | local function later() return steps.Git{}, MailNotifier{}, reporters.MailNotfier end
master.lua:2: 'steps.Git' is not there: Buildbot's Git is not supported yet; ShellCommand with 'git' does it
  --> master.lua:2
   | 2 | local function later() return steps.Git{}, MailNotifier{}, reporters.MailNotfier end
2 mistakes
exit 1
]==]
