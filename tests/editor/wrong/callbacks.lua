-- Functions that the master calls: what they are given, and what they give.
local f = util.BuildFactory()

local builder = util.BuilderConfig{ name = "a", workernames = { "bot" }, factory = f,
  nextWorker = function(builder, workers, request)
    print(builder.nmae, request.priority) --> undefined-field nmae
    for _, w in ipairs(workers) do print(w.worker.properties.os, w.wrker) end --> undefined-field wrker
    return 17 --> return-type-mismatch integer
  end,
  canStartBuild = function(_, wfb, request)
    if wfb.worker:isPasued() then return false, 30 end --> undefined-field isPasued
    return request.reason --> return-type-mismatch boolean
  end,
}
builder.collapseRequests = function(_, _, a, b) return a.priority == b.prio end --> undefined-field prio

f:addStep(steps.ShellCommand{ command = "make",
  doStepIf = function(step) return step.build.numbr > 1 end, --> undefined-field numbr
  hideStepIf = function(results, step) return results == util.SUCCESS and step.nam == "x" end, --> undefined-field nam
})
f:addStep(steps.SetPropertyFromCommand{ command = "true", extract_fn = function(rc, stdout) return rc == 0 and stdout end }) --> return-type-mismatch table
