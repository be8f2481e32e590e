//! A stock worker of each version runs builds: output on both streams, environment, properties, results, halting.

mod support;

use serde_json::json;
use support::*;

for_each_version!(output_of_both_streams_is_kept, environment_and_properties_arrive, results_and_halting_follow_the_options);

/// A builder `b` on worker `w` with these steps.
fn config(steps: &str, builder: &str) -> String {
    format!(
        r#"
c.collapseRequests = false
c.workers = {{ Worker{{ "w", "pass", properties = {{ os = "testix" }} }} }}
local f = util.BuildFactory()
{steps}
c.builders = {{ util.BuilderConfig{{ name = "b", workernames = {{ "w" }}, factory = f, {builder} }} }}
c.schedulers = {{ schedulers.ForceScheduler{{ name = "force", builderNames = {{ "b" }},
  properties = {{ util.StringParameter{{ name = "colour", default = "grey" }} }} }} }}
"#
    )
}

fn output_of_both_streams_is_kept(version: &str) {
    let master = Master::start(&config(
        r#"
f:addStep(steps.ShellCommand{ name = "both", command = { "sh", "-c", "echo 'grün ✓ ποτέ'; echo 'an error: ж' >&2; printf 'no newline'" } })
f:addStep(steps.ShellCommand{ name = "bytes", command = "printf 'a\\377b\\n'; printf 'tail\\n'" })
f:addStep(steps.ShellCommand{ name = "much", command = "i=0; while [ $i -lt 20000 ]; do echo \"line number $i of many\"; i=$((i+1)); done" })
"#,
        "",
    ));
    let _worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let build = master.build("b", json!({}));
    assert_eq!(build["results"], SUCCESS, "{build:#}");

    let both = master.log_contents(&build, "both", "stdio");
    let lines: Vec<&str> = both.lines().collect();
    assert!(lines.contains(&"ogrün ✓ ποτέ"), "{both}");
    assert!(lines.contains(&"ean error: ж"), "{both}");
    assert!(lines.contains(&"ono newline"), "{both}");
    assert!(lines.iter().any(|l| l.starts_with('h')), "no header line in {both}");
    let raw = String::from_utf8(master.log_raw(&build, "both", "stdio")).expect("UTF-8");
    assert!(raw.contains("grün ✓ ποτέ\n") && raw.contains("an error: ж\n"), "{raw}");

    // What is no UTF-8 may be replaced by the worker, never the text around it.
    let bytes = String::from_utf8_lossy(&master.log_raw(&build, "bytes", "stdio")).into_owned();
    assert!(
        bytes.lines().any(|l| l.starts_with('a') && l.ends_with('b') && l.chars().count() >= 3) && bytes.contains("tail\n"),
        "{bytes:?}"
    );

    let much = String::from_utf8(master.log_raw(&build, "much", "stdio")).expect("UTF-8");
    let numbers = much.lines().filter_map(|l| l.strip_prefix("line number ")?.strip_suffix(" of many")?.parse::<usize>().ok());
    assert!(numbers.eq(0..20_000), "lines are missing, doubled or out of order");
}

fn environment_and_properties_arrive(version: &str) {
    let master = Master::start(&config(
        r#"
f:addStep(steps.SetPropertyFromCommand{ name = "ask", command = { "echo", "  answer 42  " }, property = "answer" })
f:addStep(steps.SetProperty{ name = "derive", property = "derived", value = Interpolate("<%(prop:answer)s|%(prop:colour)s|%(prop:none:-nix)s>") })
f:addStep(steps.ShellCommand{ name = "show", env = { STEP = Property("answer"), BOTH = "step" }, workdir = "else/where",
  command = { "sh", "-c", Interpolate("echo \"B=$BUILDER_VAR S=$STEP X=$BOTH\"; echo 'P=%(prop:derived)s'; echo W=%(prop:workername)s on %(prop:os)s; pwd") } })
f:addStep(steps.ShellCommand{ name = "words", command = { "printf", "[%s]\n", "two words", "$HOME", "ü'\"" } })
"#,
        r#"env = { BUILDER_VAR = "from the builder", BOTH = "builder" }, properties = { level = 3 }"#,
    ));
    let _worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let build = master.build("b", json!({"colour": "blau ✓", "reason": "because", "owner": "me@example.org"}));
    assert_eq!(build["results"], SUCCESS, "{build:#}");

    let show = String::from_utf8(master.log_raw(&build, "show", "stdio")).expect("UTF-8");
    for line in ["B=from the builder S=answer 42 X=step", "P=<answer 42|blau ✓|nix>", "W=w on testix"] {
        assert!(show.lines().any(|l| l == line), "no line '{line}' in\n{show}");
    }
    assert!(show.lines().any(|l| l.ends_with("/b/else/where")), "not run in its workdir:\n{show}");
    let words = String::from_utf8(master.log_raw(&build, "words", "stdio")).expect("UTF-8");
    for line in ["[two words]", "[$HOME]", "[ü'\"]"] {
        assert!(words.lines().any(|l| l == line), "no line '{line}' in\n{words}");
    }

    let properties = master.properties(&build);
    for (name, value) in [
        ("answer", json!("answer 42")),
        ("derived", json!("<answer 42|blau ✓|nix>")),
        ("colour", json!("blau ✓")),
        ("os", json!("testix")),
        ("level", json!(3)),
        ("workername", json!("w")),
        ("buildername", json!("b")),
        ("buildnumber", json!(1)),
    ] {
        assert_eq!(properties[name][0], value, "property {name}");
    }
    for (name, source) in [("os", "Worker"), ("level", "Builder"), ("colour", "Force Build Form")] {
        assert_eq!(properties[name][1], source, "source of property {name}");
    }
}

fn results_and_halting_follow_the_options(version: &str) {
    let step = |name: &str, code: u8, options: &str| {
        format!(
            "f:addStep(steps.ShellCommand{{ name = '{name}', command = {{ 'sh', '-c', 'echo ran {name}; exit {code}' }}, {options} }})\n"
        )
    };
    let warn = "decodeRC = { [0] = util.SUCCESS, [3] = util.WARNINGS }, warnOnWarnings = true";
    let master = Master::start(&config(
        &[
            step("warns", 3, warn),
            step("harmless", 1, "flunkOnFailure = false"),
            step("left out", 0, "doStepIf = function(step) return false end"),
            step("fails", 2, ""),
            step("goes on", 0, ""),
            step("halts", 4, "haltOnFailure = true"),
            step("not reached", 0, ""),
            step("always", 0, "alwaysRun = true"),
        ]
        .concat(),
        "",
    ));
    let _worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let build = master.build("b", json!({}));
    assert_eq!(build["results"], FAILURE, "{build:#}");
    assert_eq!(build["complete"], true);

    for (name, results) in [
        ("warns", WARNINGS),
        ("harmless", FAILURE),
        ("left out", SKIPPED),
        ("fails", FAILURE),
        ("goes on", SUCCESS),
        ("halts", FAILURE),
        ("always", SUCCESS),
    ] {
        assert_eq!(master.step(&build, name)["results"], results, "step {name}");
    }
    // A step behind the halt may be listed, but it was not run.
    for step in master.steps(&build).iter().filter(|s| s["name"] == "not reached" || s["name"] == "left out") {
        let logs = master.http.rows(&format!("steps/{}/logs", step["stepid"]), "logs");
        assert!(logs.is_empty() && step["results"] != SUCCESS, "{step:#} has {logs:?}");
    }
    assert!(String::from_utf8_lossy(&master.log_raw(&build, "always", "stdio")).contains("ran always\n"));

    // Warnings alone make the build a warning.
    master_with_warning_only(version);
}

fn master_with_warning_only(version: &str) {
    let master = Master::start(&config(
        "f:addStep(steps.ShellCommand{ name = 'warns', command = { 'sh', '-c', 'exit 3' }, \
         decodeRC = { [0] = util.SUCCESS, [3] = util.WARNINGS }, warnOnWarnings = true })",
        "",
    ));
    let _worker = Worker::start(version, "w", "pass", master.pb);
    master.wait_attached("w");
    let build = master.build("b", json!({}));
    assert_eq!(build["results"], WARNINGS, "{build:#}");
}
