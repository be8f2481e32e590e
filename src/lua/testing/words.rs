//! What test files may say besides the library, for the reference and for editors. A test looks whether it is there.

/// The call as it is written, and what it does.
pub(in super::super) const CALLS: &[(&str, &str)] = &[
    ("describe(name: string, body: fun())", "A group of tests; groups may stand in groups."),
    ("it(name: string, body?: fun())", "A test. Without a body it is shown as not written yet; `it.skip(name, body)` is not run."),
    ("before_each(f: fun())", "Is called before each test of the group and of the groups in it, from the outside in."),
    ("after_each(f: fun())", "Is called after each test, however it ended, from the inside out."),
    ("expect(actual: any): Expectation", "What a value is to be: `expect(x):to_be(1)`, `expect(x).never:to_be(2)`."),
    ("skip(why?: string)", "Ends the test that calls it; the report says why."),
    (
        "load_master(name?: string): table",
        "The configuration in a file (`master.lua`), checked as the master would; an error with all its mistakes if it has any. Every key of `c` with its \
         default, `workers`, `builders` and `schedulers` by name and by number, `warnings`. An object has its arguments, `class`, `file`, `line`; a \
         builder also `workers` and `steps`. Functions may be called with plain data, secrets are `***`, and what is not there raises.",
    ),
    (
        "launching(worker: AnyWorker, facts?: { launch_id?: string, master_id?: string, master_host?: string, master_port?: integer, password?: string, properties?: table<string, any>, builder?: string }): LatentWorker, Build",
        "What the methods of a latent worker are called with: `local me, build = launching(Rack{ … })`, then `me:start_instance(build)`.",
    ),
    (
        "fake.http(scripted?: table<string, table|function>): FakeHttp",
        "Until the test has ended no request leaves the machine: `fake.http{ [\"GET https://rack/units/*\"] = { json = {} } }`. An answer has `status` (200), \
         `headers`, `text` or `json`, or `error` for a network that fails; it may be a function of the request. `*` is any text; an address that begins \
         with a slash is a path on any host. What is not scripted is an error.",
    ),
    (
        "fake.process(scripted?: table<string, table|function>): FakeProcess",
        "The same for `process.run`: `fake.process{ [\"virsh list*\"] = { stdout = \"…\" } }`. An answer has `status` (0), `signal`, `stdout`, `stderr`, or `error`.",
    ),
    (
        "fake.time(at?: number): FakeClock",
        "Time stands still until everything sleeps, and jumps then to where the first sleeper wakes: `sleep(3600)` takes no time. For `sleep`, `timeout`, \
         `time.now` and `time.date`.",
    ),
];

/// A type, and its members.
pub(in super::super) const OBJECTS: &[(&str, &[(&str, &str)])] = &[
    (
        "Expectation",
        &[
            ("never: Expectation", "The opposite of what follows."),
            ("to_be(wanted: any)", "The same value, or the same object."),
            ("to_equal(wanted: any)", "Equal in content; the first difference is named."),
            ("to_contain(wanted: any)", "A text has this text in it, a list this item."),
            ("to_have(wanted: table)", "A table has at least these fields."),
            ("to_match(pattern: string|Regex)", "A text matches, as `regex.search`."),
            ("to_have_length(wanted: integer)", "Of a list or text."),
            ("to_be_a(kind: any)", "A type by its name (`\"string\"`, `\"integer\"` …), or a class."),
            ("to_be_near(wanted: number, within?: number)", "A number, give or take."),
            ("to_be_above(limit: number)", "A larger number."),
            ("to_be_below(limit: number)", "A smaller number."),
            ("to_fail(message?: string|Regex)", "A function raises, with this text in its message or a match of the pattern."),
            ("to_raise(message?: string|Regex)", "The same."),
            (
                "to_fail_as(kind: string, message?: string)",
                "A function ends as `latent.capacity`, `latent.retry` or `latent.config_error` end a start.",
            ),
        ],
    ),
    (
        "FakeHttp",
        &[
            (
                "on(method: string, address: string, ...: table|function): FakeHttp",
                "Answers in turn, the last one for ever. The newest rule that fits counts.",
            ),
            ("calls: table[]", "What was asked: `method url address host path params headers body json auth timeout` of each request."),
        ],
    ),
    (
        "FakeProcess",
        &[
            ("on(command: string|string[], ...: table|function): FakeProcess", "The same for a command line, in which `*` is any text."),
            ("calls: table[]", "What was run: `argv stdin cwd env clear_env timeout` of each command."),
        ],
    ),
    (
        "FakeClock",
        &[
            ("now(): number", "Seconds since 1970, as `time.now` says."),
            ("advance(seconds: number)", "Time goes on by so much; who is to wake within wakes."),
            ("slept: number", "The seconds that all sleepers together waited."),
        ],
    ),
];

/// As a part of the reference.
pub(in super::super) fn markdown() -> String {
    let mut page = String::from(
        "# Tests\n\n`buildmoon test` runs files called `*_test.lua`, each in a state of its own. They see the whole library, `require` finds the \
         configuration's files, and they may say besides:\n\n| Call | Meaning |\n|---|---|\n",
    );
    let row = |call: &str, meaning: &str| format!("| `{}` | {} |\n", call.replace('|', "\\|"), meaning.replace('|', "\\|"));
    for (call, meaning) in CALLS {
        page.push_str(&row(call, meaning));
    }
    for (object, members) in OBJECTS {
        page.push_str(&format!("\n| `{object}` | |\n|---|---|\n"));
        for (member, meaning) in *members {
            page.push_str(&row(member, meaning));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{TestFile, TestOutcome, Wanted, run_tests};
    use super::*;

    fn name(call: &str) -> &str {
        call.split(['(', ':']).next().unwrap()
    }

    #[tokio::test]
    async fn every_word_is_there() {
        let made =
            [("Expectation", "expect(1)"), ("FakeHttp", "fake.http()"), ("FakeProcess", "fake.process()"), ("FakeClock", "fake.time()")];
        let mut text = String::from("it('words', function()\n");
        for (call, _) in CALLS {
            text.push_str(&format!("assert({} ~= nil)\n", name(call)));
        }
        for (object, source) in made {
            let (_, members) = OBJECTS.iter().find(|(name, _)| *name == object).unwrap();
            for (member, _) in *members {
                text.push_str(&format!("do local x = {source} assert(x.{} ~= nil) if x.to_be then x:to_be(1) end end\n", name(member)));
            }
        }
        text.push_str("end)\nit.skip('not run', function() error('run') end)\n");
        // Who uses a fake that is not there is told what there is.
        text.push_str("it('slip', function() expect(function() return fake.htp end):to_fail(\"did you mean 'http'?\") end)\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words_test.lua");
        std::fs::write(&path, text).unwrap();
        let report = run_tests(TestFile { path, folder: None, wanted: Wanted::All, timeout: Duration::from_secs(10) }).await;
        assert_eq!(report.broken, None);
        let outcomes: Vec<&TestOutcome> = report.tests.iter().map(|t| &t.outcome).collect();
        assert_eq!(outcomes, [&TestOutcome::Passed, &TestOutcome::Skipped("skipped".into()), &TestOutcome::Passed]);
    }
}
