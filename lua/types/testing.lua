---@meta
-- Made by `buildmoon lua-types`; what is changed here is lost.

---@class Expectation
---@field never Expectation The opposite of what follows.
---@field to_be (fun(self: Expectation, wanted: any)) The same value, or the same object.
---@field to_equal (fun(self: Expectation, wanted: any)) Equal in content; the first difference is named.
---@field to_contain (fun(self: Expectation, wanted: any)) A text has this text in it, a list this item.
---@field to_have (fun(self: Expectation, wanted: table)) A table has at least these fields.
---@field to_match (fun(self: Expectation, pattern: string|Regex)) A text matches, as `regex.search`.
---@field to_have_length (fun(self: Expectation, wanted: integer)) Of a list or text.
---@field to_be_a (fun(self: Expectation, kind: any)) A type by its name (`"string"`, `"integer"` …), or a class.
---@field to_be_near (fun(self: Expectation, wanted: number, within?: number)) A number, give or take.
---@field to_be_above (fun(self: Expectation, limit: number)) A larger number.
---@field to_be_below (fun(self: Expectation, limit: number)) A smaller number.
---@field to_fail (fun(self: Expectation, message?: string|Regex)) A function raises, with this text in its message or a match of the pattern.
---@field to_raise (fun(self: Expectation, message?: string|Regex)) The same.
---@field to_fail_as (fun(self: Expectation, kind: string, message?: string)) A function ends as `latent.capacity`, `latent.retry` or `latent.config_error` end a start.

---@class FakeHttp
---@field on (fun(self: FakeHttp, method: string, address: string, ...: table|function): FakeHttp) Answers in turn, the last one for ever. The newest rule that fits counts.
---@field calls table[] What was asked: `method url address host path params headers body json auth timeout` of each request.

---@class FakeProcess
---@field on (fun(self: FakeProcess, command: string|string[], ...: table|function): FakeProcess) The same for a command line, in which `*` is any text.
---@field calls table[] What was run: `argv stdin cwd env clear_env timeout` of each command.

---@class FakeClock
---@field now (fun(self: FakeClock): number) Seconds since 1970, as `time.now` says.
---@field advance (fun(self: FakeClock, seconds: number)) Time goes on by so much; who is to wake within wakes.
---@field slept number The seconds that all sleepers together waited.

---@class Tests
---@overload fun(name: string, body?: fun())
it = {}

---A test that is not run.
---@param name string
---@param body? fun()
function it.skip(name, body) end

---A group of tests; groups may stand in groups.
---@param name string
---@param body fun()
function describe(name, body) end

---Is called before each test of the group and of the groups in it, from the outside in.
---@param f fun()
function before_each(f) end

---Is called after each test, however it ended, from the inside out.
---@param f fun()
function after_each(f) end

---What a value is to be: `expect(x):to_be(1)`, `expect(x).never:to_be(2)`.
---@param actual any
---@return Expectation
function expect(actual) end

---Ends the test that calls it; the report says why.
---@param why? string
function skip(why) end

---The configuration in a file (`master.lua`), checked as the master would; an error with all its mistakes if it has any. Every key of `c` with its default, `workers`, `builders` and `schedulers` by name and by number, `warnings`. An object has its arguments, `class`, `file`, `line`; a builder also `workers` and `steps`. Functions may be called with plain data, secrets are `***`, and what is not there raises.
---@param name? string
---@return table
function load_master(name) end

---What the methods of a latent worker are called with: `local me, build = launching(Rack{ … })`, then `me:start_instance(build)`.
---@param worker AnyWorker
---@param facts? { launch_id?: string, master_id?: string, master_host?: string, master_port?: integer, password?: string, properties?: table<string, any>, builder?: string }
---@return LatentWorker, Build
function launching(worker, facts) end

---@class fakelib
local fakelib = {}

---Until the test has ended no request leaves the machine: `fake.http{ ["GET https://rack/units/*"] = { json = {} } }`. An answer has `status` (200), `headers`, `text` or `json`, or `error` for a network that fails; it may be a function of the request. `*` is any text; an address that begins with a slash is a path on any host. What is not scripted is an error.
---@param scripted? table<string, table|function>
---@return FakeHttp
function fakelib.http(scripted) end

---The same for `process.run`: `fake.process{ ["virsh list*"] = { stdout = "…" } }`. An answer has `status` (0), `signal`, `stdout`, `stderr`, or `error`.
---@param scripted? table<string, table|function>
---@return FakeProcess
function fakelib.process(scripted) end

---Time stands still until everything sleeps, and jumps then to where the first sleeper wakes: `sleep(3600)` takes no time. For `sleep`, `timeout`, `time.now` and `time.date`.
---@param at? number
---@return FakeClock
function fakelib.time(at) end

---@type fakelib
fake = nil
