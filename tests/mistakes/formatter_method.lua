local c = BuildmasterConfig
local Short = reporters.MessageFormatter:extend("Short")
function Short:format_message_for_build(master, build) return { body = build.state_string } end
function Short:render_message_boby(ctx) return "x" end
local f = Short{ want_log = true, template_type = "text" }

--[==[ told
master.lua:5: Short: the method 'format_message_for_build' is not called: write format(self, ctx), which gives the text or a table of body, type, subject
  --> master.lua:5
   | 5 | local f = Short{ want_log = true, template_type = "text" }
master.lua:5: Short: unknown argument 'want_log' (did you mean 'want_logs'?)
  --> master.lua:5
   | 5 | local f = Short{ want_log = true, template_type = "text" }
master.lua:5: Short: 'template_type' must be "plain" or "html", got "text"
  --> master.lua:5
   | 5 | local f = Short{ want_log = true, template_type = "text" }
warning: master.lua:4: Short: the method 'render_message_boby' overrides nothing (did you mean 'render_message_body'?)
  --> master.lua:4
   | 4 | function Short:render_message_boby(ctx) return "x" end
3 mistakes
exit 1
]==]
