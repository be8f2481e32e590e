-- Steps of our own.
local M = {}

-- Runs the test suite, reads its output while it comes, and repeats what failed in a step added on the fly.
local TestSuite = steps.BuildStep:extend("TestSuite", {
  mixins = { steps.ShellMixin },
  name = "test",
  description = "testing",
  warnOnWarnings = true,
  args = {
    command = "list<string>",
    retry_failed = { "boolean", default = true },
  },
})

function TestSuite:init(args)
  -- Once per build: the counts of one build are not those of the next.
  self.counts = { ok = 0, FAIL = 0, skipped = 0 }
  self.failed = {}
  TestSuite.super.init(self, args)
end

function TestSuite:run()
  self:addLogObserver("stdio", function(stream, line)
    local m = regex.match([[(?P<name>test_\w+) \.\.\. (?P<outcome>ok|FAIL|skipped)$]], line)
    if not m then return end
    self.counts[m.outcome] = self.counts[m.outcome] + 1
    if m.outcome == "FAIL" then self.failed[#self.failed + 1] = m.name end
    self:updateSummary()
  end)

  local cmd = self:makeRemoteShellCommand{ command = self.command }
  self:runCommand(cmd)

  for outcome, count in dict.sorted_pairs(self.counts) do self:setStatistic("tests-" .. outcome, count) end
  self:setProperty("tests_failed", self.failed, "TestSuite")
  if #self.failed == 0 then return cmd:results() end

  self:addCompleteLog("failed", table.concat(self.failed, "\n") .. "\n")
  if not self.retry_failed then return util.FAILURE end
  -- What fails once and not again is a warning.
  self:addStepsAfterCurrentStep{
    TestSuite{ name = "test again", command = list.concat(self.command, { "--only" }, self.failed), retry_failed = false, haltOnFailure = true },
  }
  return util.WARNINGS
end

function TestSuite:getCurrentSummary()
  return { step = ("testing: %d done, %d failed"):format(self.counts.ok + self.counts.skipped, #self.failed) }
end

function TestSuite:getResultSummary()
  return { step = ("tests: %d ok, %d failed, %d skipped"):format(self.counts.ok, self.counts.FAIL, self.counts.skipped) }
end

M.TestSuite = TestSuite

-- A compiler that is killed for want of memory says so with 137: the machine's fault, not the change's.
local Compile = steps.Compile:extend("Compile", { haltOnFailure = true, flunkOnFailure = true })

function Compile:evaluateCommand(cmd)
  if cmd.rc == 137 then return util.RETRY end
  return cmd:results()
end

M.Compile = Compile

return M
