local Mine = Worker:extend("a\nb")

--[==[ told
master.lua:1: Worker:extend: the name of a class is one line of text, got "a\nb"
  --> master.lua:1
   | 1 | local Mine = Worker:extend("a\nb")
1 mistake
exit 1
]==]
