local unused = {}

function unused.never()
  return list.concatt({ 1 }, { 2 }), stepss.ShellCommand
end

return unused
