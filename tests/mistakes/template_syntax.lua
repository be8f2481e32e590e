local c = BuildmasterConfig
local f = reporters.MessageFormatter{
  subject = "{{ buildername",
  template = [[
Builder {{ buildername }}
{% for name in blamelist %}{{ name }}
]],
}
c.services = { MailNotifier{ fromaddr = "ci@example.org", generators = { reporters.BuildStatusGenerator{ message_formatter = f } } } }

--[==[ told
master.lua:2: MessageFormatter: 'template': line 2 of the template: syntax error: unexpected end of input, expected end of block
  --> master.lua:2
   | 2 | local f = reporters.MessageFormatter{
   …
   | 4 |   template = [[
master.lua:2: MessageFormatter: 'subject': line 1 of the template: syntax error: unexpected end of input, expected end of variable block
  --> master.lua:2
   | 2 | local f = reporters.MessageFormatter{
   | 3 |   subject = "{{ buildername",
2 mistakes
exit 1
]==]
