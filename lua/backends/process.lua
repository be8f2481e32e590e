-- Workers that are processes: what `ProcessLatentWorker` does, on this machine or by ssh on another one. The same small shell scripts run here
-- and there, read from the standard input, so that no password is in a command line. A process is known by its environment, which its
-- children have too: the master's mark and the launch id. It never signals a process without this master's mark.
local Process = {}

local MASTER, LAUNCH = "BUILDMOON_MASTER", "BUILDMOON_LAUNCH_ID"
-- Of this machine's environment nothing else is handed on: the master's own may hold secrets.
local HANDED_ON = { "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE" }
local GRACE, FAST_GRACE = 10, 2
local SHOWN_LINES = 5

-- What the stock worker is told; the file says nothing that is secret.
local TAC = [[
import os

from buildbot_worker.bot import Worker
from twisted.application import service
from twisted.python.log import FileLogObserver, ILogObserver
from twisted.python.logfile import LogFile

basedir = os.path.abspath(os.path.dirname(__file__))
application = service.Application('buildbot-worker')
log = LogFile.fromFullPath(os.path.join(basedir, "twistd.log"), rotateLength=10000000, maxRotatedFiles=3)
application.setComponent(ILogObserver, FileLogObserver(log).emit)
# Taken out: builds have no use for it.
host, port, name, password = [os.environ.pop(n) for n in ("BUILDMASTER", "BUILDMASTER_PORT", "WORKERNAME", "WORKERPASS")]
Worker(host, int(port), name, password, basedir, 600, maxdelay=30).setServiceParent(application)
]]

local config_error, retry = latent.config_error, latent.retry

-- SCRIPTS -------------------------------------------------------------------------------------------------------------

local function quoted(word) return "'" .. tostring(word):gsub("'", [['\'']]) .. "'" end
local function assigned(name, value) return name .. "=" .. quoted(value) .. "\n" end

-- `marked NAME=VALUE` prints the number of each process that has it; one that has ended and waits to be asked for has no environment.
local COMMON = [[
echo begun
umask 077
[ -r /proc/self/environ ] || { echo "there is no /proc that tells the environment of processes" >&2; exit 69; }
marked() { grep -lzxF -e "$1" /proc/[0-9]*/environ 2>/dev/null | sed 's|^/proc/\([0-9]*\)/.*|\1|'; }
]]

-- What is exported reaches the worker alone: whatever else the script runs must not look like it.
local START = [[
mkdir -p "$basedir" && cd "$basedir" || exit 73
exec 9>.start.lock
if command -v flock >/dev/null; then flock -w 60 9 || { echo "another start is under way in $PWD" >&2; exit 75; }; fi
first() { marked "$launch_mark" | head -n 1; }
pid=$(first)
if [ -n "$pid" ]; then echo "pid $pid"; exit 0; fi
command -v -- "$1" >/dev/null || { echo "there is no program '$1'" >&2; exit 127; }
[ -z "$tac" ] || printf '%s' "$tac" >buildbot.tac || exit 73
rm -f twistd.pid
[ ! -f output.log ] || mv -f output.log output.log.1
session=; ! command -v setsid >/dev/null || session=setsid
( entered; exec $session "$@" ) </dev/null >output.log 2>&1 9>&- &
for attempt in 1 2 3; do
  sleep 0.2 2>/dev/null || sleep 1
  pid=$(first)
done
if [ -n "$pid" ]; then echo "pid $pid"; exit 0; fi
echo "the worker ended at once: $(tail -n 5 output.log)" >&2
exit 70
]]

local STOP = [[
signal=TERM waited=0
while pids=$(marked "$launch_mark"); [ -n "$pids" ]; do
  if [ $waited -ge $grace ]; then signal=KILL; fi
  [ $waited -lt $((grace + 200)) ] || { echo "process $(echo $pids) does not end" >&2; exit 70; }
  if [ $waited -eq 0 ] || [ $signal = KILL ]; then
    for pid in $pids; do kill -$signal $pid 2>/dev/null; done
  fi
  sleep 0.1 2>/dev/null || { sleep 1; waited=$((waited + 9)); }
  waited=$((waited + 1))
done
]]

local CHECK = [[
[ -z "$(marked "$launch_mark")" ] || { echo runs; exit 0; }
! cd "$basedir" 2>/dev/null || tail -n 5 output.log 2>/dev/null
]]

local LIST = [[
for pid in $(marked "$master_mark"); do
  tr '\0' '\n' 2>/dev/null </proc/$pid/environ | sed -n 's/^BUILDMOON_LAUNCH_ID=/instance /p'
done
exit 0
]]

-- The end of what a program complained of, as one line.
local function complaint(ran)
  local lines = list.filter(list.map(text.lines(ran.stderr), text.strip), function(line) return line ~= "" end)
  if #lines == 0 then return "it ended with " .. (ran.status and "status " .. ran.status or "signal " .. ran.signal) end
  return table.concat(lines, "; ", math.max(1, #lines - SHOWN_LINES + 1))
end

local function environment()
  local env = {}
  for _, name in ipairs(HANDED_ON) do env[name] = os.getenv(name) end
  return env
end

-- Where an instance runs: this machine, or one that ssh reaches.
local function where(host) return host and "on " .. host or "on this machine" end

-- A script, run here or there; true where it began at all.
local function run(self, host, script, timeout)
  local argv = { "sh", "-s" }
  if host then
    argv = list.concat({ "ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10" }, self.ssh_options, { "--", host, "exec sh -s" })
  end
  local ran = process.run(argv, { stdin = COMMON .. script, timeout = timeout, clear_env = not host, env = not host and environment() or nil })
  local rest = ran.stdout:match("begun\n(.*)$")
  ran.stdout = rest or ""
  return ran, rest ~= nil
end

-- The same where the script must have done its work.
local function sure(self, host, what, script, timeout)
  local ran = run(self, host, script, timeout)
  if ran.status ~= 0 then error(("%s %s: %s"):format(what, where(host), complaint(ran)), 0) end
  return ran.stdout
end

local function launch_mark(launch) return assigned("launch_mark", LAUNCH .. "=" .. launch) end

-- INSTANCES -----------------------------------------------------------------------------------------------------------

local function basedir(self) return self.basedir or "workers/" .. self.name end

-- Where the worker finds the master. On this machine it need not ask for the name.
local function master_address(self, host)
  local said, port = self.masterFQDN, self.master_port
  if said then
    local name, number = said:match("^(.*):(%d+)$")
    return name or said, number or port
  end
  local at = self.master_host
  if not host and not (at and (at:find("^[%d.]+$") or at:find(":", 1, true))) then at = "127.0.0.1" end
  return at, port
end

-- The words of the command that runs the worker; a class of one's own may return others.
function Process:worker_command(build)
  local command = self.command
  if type(command) == "string" then return { "sh", "-c", command } end
  if command and #command > 0 then return command end
  return { self.program or "buildbot-worker", "start", "--nodaemon", "." }
end

-- What each launch has of its own; a variable that a file gives these names would have no effect.
local GIVEN = list.set{ "BUILDMASTER", "BUILDMASTER_PORT", "WORKERNAME", "WORKERPASS", MASTER, LAUNCH }

local function check_env(env)
  for name, value in dict.sorted_pairs(env or {}) do
    if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then config_error(("env: %s is no name of a variable"):format(text.repr(name))) end
    if GIVEN[name] then config_error(("env: %s is set for each launch, and can't be given"):format(name)) end
    if type(value) ~= "string" and type(value) ~= "number" then config_error(("env: %s must be text, got %s"):format(name, text.repr(value))) end
  end
end

-- What the worker finds in its environment.
local function environment_of(self, host)
  local at, port = master_address(self, host)
  if not at or not port then
    config_error("the worker finds no master: c.protocols names no TCP port for workers, or the master's name is unknown (masterFQDN)")
  end
  check_env(self.env)
  local env = dict.merge(self.env, { BUILDMASTER = at, BUILDMASTER_PORT = port, WORKERNAME = self.name, WORKERPASS = self.password,
    [MASTER] = self.master_id, [LAUNCH] = self.launch_id })
  local lines = {}
  for name, value in dict.sorted_pairs(env) do lines[#lines + 1] = "export " .. assigned(name, value) end
  return "entered() {\n" .. table.concat(lines) .. "}\n"
end

function Process:start_instance(build)
  local host, words = self.host, self:worker_command(build)
  if type(words) ~= "table" or #words == 0 then config_error("worker_command must return a list of words, got " .. text.repr(words)) end
  local script = {
    assigned("basedir", basedir(self)), launch_mark(self.launch_id), assigned("tac", TAC), environment_of(self, host),
    "set -- " .. table.concat(list.map(words, quoted), " ") .. "\n", START,
  }
  local ran, begun = run(self, host, table.concat(script), 120)
  if ran.status ~= 0 then
    local why = ("the worker can't be started %s: %s"):format(where(host), complaint(ran))
    if begun and (ran.status == 127 or ran.status == 69) then config_error(why) end
    -- Nothing runs: the script says so, or it never came to that.
    if not begun or ran.status == 70 or ran.status == 73 or ran.status == 75 then retry(why, 30) end
    error(why, 0)
  end
  local pid = ran.stdout:match("pid (%d+)")
  return {
    handle = { host = host, launch_id = self.launch_id, basedir = basedir(self), pid = math.tointeger(tonumber(pid)) },
    status = { "process", pid, host },
  }
end

function Process:stop_instance(handle, fast)
  -- A start that was not recorded has no handle; what it left has the mark.
  handle = handle or { host = self.host, launch_id = self.launch_id }
  local grace = fast and FAST_GRACE or GRACE
  sure(self, handle.host, "the worker can't be stopped", launch_mark(handle.launch_id) .. ("grace=%d\n"):format(grace * 10) .. STOP, 120)
end

-- The handle says where: it can be stopped from there whatever the worker is told now.
Process._stops_by_handle = Process.stop_instance

function Process:check_instance(handle)
  local script = assigned("basedir", handle.basedir) .. launch_mark(handle.launch_id) .. CHECK
  local told = sure(self, handle.host, "the worker can't be looked for", script, 25)
  if told == "runs\n" then return true end
  local said = table.concat(list.map(text.lines(told), text.strip), "; ")
  return false, "the worker's process has ended" .. (said ~= "" and ": " .. said or "")
end

function Process:list_instances()
  local told = sure(self, self.host, "workers can't be listed", assigned("master_mark", MASTER .. "=" .. self.master_id) .. LIST, 50)
  local launches = {}
  for launch in told:gmatch("instance (%x+)") do launches[launch] = true end
  -- A worker and what it runs have the same mark.
  return list.map(dict.keys(launches), function(launch) return { launch_id = launch, handle = { host = self.host, launch_id = launch } } end)
end

-- What is wrong whatever the build: said when the file is read.
function Process:check_config()
  check_env(self.env)
  for _, option in ipairs(self.ssh_options or {}) do
    if type(option) ~= "string" then error("ssh_options must be a list of words, got " .. text.repr(option), 0) end
  end
  if type(self.host) == "string" and self.host:find("^%-") then error("host must be the name of a machine, got " .. text.repr(self.host), 0) end
end

return Process
