//! Where secrets come from, what can be done with them, and that nothing which a master keeps, prints or answers has them.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use support::*;

const TOKEN: &str = "T0p-s3cret'value\"42";
const LONG: &str = "a-secret-that-is-longer-than-what-a-mistake-shows-of-a-value";
const KEY: &str = "-----BEGIN KEY-----\nqwertzuiopasdfgh\n  yxcvbnmlkjhgfdsa\nEOF";

const COMMON: &str = r#"
local function builder(name, worker, list)
  local f = util.BuildFactory()
  f:addSteps(list)
  return util.BuilderConfig{ name = name, workernames = { worker }, factory = f }
end
local function forced(names) c.schedulers = { schedulers.ForceScheduler{ name = "force", builderNames = names } } end
local function said(name, text) return steps.ShellCommand{ name = name, alwaysRun = true, command = { "printf", "%s\\n", text } } end
"#;

fn put(folder: &Path, name: &str, text: &str, mode: u32) {
    fs::create_dir_all(folder).expect("the folder of secrets");
    fs::write(folder.join(name), text).expect("a secret");
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).expect("its mode");
}

/// A master, not started, with its secrets in a folder beside its own.
fn create(lua: &str) -> (Master, tempfile::TempDir) {
    let secrets = tempfile::tempdir().expect("a folder");
    for (name, text) in [("tok", TOKEN), ("long", LONG), ("key", KEY)] {
        put(secrets.path(), name, &format!("{text}\n"), 0o600);
    }
    let master = Master::create(&format!("{COMMON}{}", lua.replace("@SECRETS@", &secrets.path().display().to_string())));
    (master, secrets)
}

fn start(lua: &str) -> (Master, tempfile::TempDir) {
    let (mut master, secrets) = create(lua);
    master.launch();
    (master, secrets)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

/// Nothing in the master's folder, on its stderr or in its answers about a build holds one of the texts.
fn assert_kept(master: &Master, build: &Value, hidden: &[&str]) {
    fn walk(folder: &Path, look: &mut dyn FnMut(&Path, &[u8])) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => walk(&path, look),
                false => look(&path, &fs::read(&path).unwrap_or_default()),
            }
        }
    }
    let look = |what: &str, bytes: &[u8]| {
        for text in hidden {
            assert!(!contains(bytes, text), "{what} holds {text:?}: {}", String::from_utf8_lossy(bytes));
        }
    };
    look("stderr", master.log().as_bytes());
    let id = &build["buildid"];
    let mut paths = vec![
        "builds".to_owned(),
        format!("builds/{id}"),
        format!("builds?buildid={id}&property=*"),
        format!("builds/{id}/properties"),
        format!("builds/{id}/steps"),
        format!("buildrequests/{}", build["buildrequestid"]),
        "buildsets".to_owned(),
        "workers".to_owned(),
        "builders".to_owned(),
        "masters".to_owned(),
    ];
    for step in master.steps(build) {
        let logs = format!("steps/{}/logs", step["stepid"]);
        for log in master.http.rows(&logs, "logs") {
            let slug = log["slug"].as_str().expect("a slug");
            paths.extend([format!("{logs}/{slug}/contents"), format!("{logs}/{slug}/raw")]);
        }
        paths.push(logs);
    }
    let mut answered = 0;
    for path in paths {
        let answer = master.http.get(&path);
        answered += usize::from(answer.status == 200);
        look(&path, &answer.body);
        // As JSON writes it.
        look(&path, String::from_utf8_lossy(&answer.body).replace("\\\"", "\"").as_bytes());
    }
    assert!(answered > 10, "only {answered} answers");
    walk(&master.dir(), &mut |path, bytes| look(&path.display().to_string(), bytes));
}

const ALL: &str = r#"
c.secretsProviders = { secrets.SecretInAFile{ dirname = "@SECRETS@" } }
c.workers = { @WORKER@ }
local tok = util.Secret("tok")
assert(tostring(tok) == "Secret(tok)")
forced{ "all", "broken" }
c.builders = {
  builder("all", "w", {
    steps.ShellCommand{ name = "words", command = { "sh", "-c", Interpolate("cat > x; echo out \"$TOKEN\"; echo err \"$TOKEN\" >&2; printf %%s \"$TOKEN\""), "sh", tok },
      env = { TOKEN = tok, URL = Interpolate("https://u:%(secret:tok)s@host/"), P = { tok, "/bin" } }, initialStdin = tok,
      description = { "using", tok }, descriptionDone = Interpolate("used %(secret:tok)s"), logfiles = { [ "x" ] = "x" } },
    steps.ShellCommand{ name = "text", command = Interpolate("rm x; cat <<'END'\nsaid %(secret:tok)s\nEND\n") },
    steps.ShellCommand{ name = Interpolate("name %(secret:tok)s"), command = { "true", tok } },
    steps.ShellCommand{ name = "pieces", env = { TOKEN = tok }, logEnviron = false,
      command = 'printf %s "$TOKEN" | cut -c1-7 | tr -d "\\n"; sleep 0.4; echo between >&2; sleep 0.4; printf "%s\\n" "$TOKEN" | cut -c8-; printf "%s" "$TOKEN" | cut -c1-5' },
    said("lines", util.Secret("key")),
    steps.SetProperty{ name = "set", property = "p", value = tok },
    steps.SetProperties{ name = "many", properties = { q = { Interpolate("x%(secret:tok)sx"), 5 } } },
    steps.SetPropertyFromCommand{ name = "from", property = "r", command = { "printf", "%s\\n", tok } },
    steps.SetPropertyFromCommand{ name = "extract", command = { "printf", "%s\\n", tok }, extract_fn = function(rc, out) return { s = out } end },
    steps.SetProperty{ name = "seen", property = "seen", value = function(props) return { props:getProperty("p"), props.r, props:getBuild():getProperty("p") } end },
    steps.ShellCommand{ name = "conditional", command = { "true" }, doStepIf = function(step) return step:getProperty("p") == "<tok>" end },
    steps.SetProperty{ name = "default", property = "none", value = Interpolate("%(secret:nobody:-has none)s, %(secret:tok:+has one)s") },
    steps.ShellSequence{ name = "sequence", commands = { util.ShellArg{ command = { "printf", "%s\\n", tok }, logname = Interpolate("log %(secret:tok)s") } } },
    steps.Compile{ name = "warns", command = { "printf", "warning: %s\\n", tok } },
    steps.ShellCommand{ name = "fails", command = { "sh", "-c", "echo \"$1\" >&2; exit 3", tok, tok } },
  }),
  builder("broken", "w", {
    steps.ShellCommand{ name = "number", command = { "true" }, timeout = util.Secret("long") },
    steps.ShellSequence{ name = "commands", alwaysRun = true, commands = Property("none", { { command = util.Secret("long") } }) },
    steps.SetProperties{ name = "no table", alwaysRun = true, properties = function() return { util.Secret("tok"), util.Secret("long") } end },
    steps.SetProperty{ name = "transform", alwaysRun = true, property = "t", value = util.Transform(function(v) error("what is " .. v .. " for?") end, tok) },
    said("unknown", util.Secret("nobody")),
  }),
}
"#;

fn nothing_shows_a_secret(lua: &str, attach: impl FnOnce(&Master) -> Option<Worker>) {
    let (master, _secrets) = start(lua);
    let _worker = attach(&master);
    master.wait_attached("w");
    let hidden = [TOKEN, LONG, &LONG[..20], "qwertzuiopasdfgh", "yxcvbnmlkjhgfdsa", "T0p-s3cret'\\''value", "T0p-s3cret'\"'\"'value"];

    let build = master.build("all", json!({}));
    assert_eq!(build["results"], FAILURE, "{build:#}\n{:#?}", master.steps(&build));
    let words = master.log_contents(&build, "words", "stdio");
    for line in ["oout <tok>", "eerr <tok>", "o<tok>", "h  TOKEN=<tok>", "h  URL=https://u:<tok>@host/"] {
        assert!(words.lines().any(|l| l == line), "no {line:?} in {words}");
    }
    assert_eq!(master.log_contents(&build, "words", "x"), "<tok>\n");
    assert_eq!(master.step(&build, "words")["state_string"], "used <tok>");
    let text = master.log_contents(&build, "text", "stdio");
    assert!(text.lines().any(|l| l == "osaid <tok>"), "{text}");
    assert_eq!(master.step(&build, "name <tok>")["state_string"], "'true <tok>'");
    let pieces = master.log_contents(&build, "pieces", "stdio");
    assert!(pieces.lines().any(|l| l == "o<tok>") && pieces.lines().any(|l| l == "oT0p-s"), "{pieces}");
    assert!(master.log_contents(&build, "lines", "stdio").contains("o<key>\no<key>\no  <key>\noEOF\n"));
    let properties = master.properties(&build);
    assert_eq!(properties["p"], json!(["<tok>", "set"]));
    assert_eq!(properties["q"][0], json!(["x<tok>x", 5]));
    assert_eq!((&properties["r"][0], &properties["s"][0]), (&json!("<tok>"), &json!("<tok>\n")));
    assert_eq!(properties["seen"][0], json!(["<tok>", "<tok>", "<tok>"]));
    assert_eq!(properties["none"][0], "has none, has one");
    assert_eq!(master.step(&build, "conditional")["results"], SUCCESS);
    assert!(master.log_contents(&build, "warns", "warnings__1_").contains("warning: <tok>"));
    assert_kept(&master, &build, &hidden);

    let build = master.build("broken", json!({}));
    assert_eq!(build["results"], EXCEPTION, "{build:#}");
    let told = |step: &str| master.log_contents(&build, step, "err.text");
    assert!(told("number").contains("timeout must be a number"), "{}", told("number"));
    assert!(told("commands").contains("commands"), "{}", told("commands"));
    assert!(told("no table").contains("[\"<tok>\",\"<long>\"]"), "{}", told("no table"));
    assert!(told("transform").contains("what is <tok> for?"), "{}", told("transform"));
    let unknown = told("unknown");
    assert!(unknown.contains("no provider has the secret 'nobody'; asked were SecretInAFile (master.lua:"), "{unknown}");
    assert_kept(&master, &build, &hidden);
}

#[test]
fn nothing_shows_a_secret_with_the_local_worker() {
    nothing_shows_a_secret(&ALL.replace("@WORKER@", "LocalWorker{ 'w' }"), |_| None);
}

#[test]
fn nothing_shows_a_secret_with_a_stock_worker() {
    nothing_shows_a_secret(&ALL.replace("@WORKER@", "Worker{ 'w', 'pw' }"), |master| Some(Worker::start("4.3.0", "w", "pw", master.pb)));
}

/// What a stock worker writes itself of a command has the names, too. Workers 3.x are left out: they write each message of the
/// master as it came.
fn the_workers_own_log_has_no_secret_of_a_command(version: &str) {
    let (master, _secrets) = start(
        r#"c.secretsProviders = { secrets.SecretInAFile{ "@SECRETS@" } }
        c.workers = { Worker{ "w", "pw" } }
        forced{ "b" }
        c.builders = { builder("b", "w", {
          said("words", util.Secret("long")),
          steps.ShellCommand{ name = "text", command = Interpolate("echo 'with a shell: %(secret:long)s' | tr a-z A-Z") },
        }) }"#,
    );
    let worker = Worker::start(version, "w", "pw", master.pb);
    master.wait_attached("w");
    let build = master.build("b", json!({}));
    assert_eq!(build["results"], SUCCESS, "{build:#}");
    assert!(master.log_contents(&build, "text", "stdio").contains(&LONG.to_uppercase()), "the command has the real value");
    assert!(worker.log().contains("<long>"), "{}", worker.log());
    assert!(!worker.log().contains(LONG), "{}", worker.log());
}

#[test]
fn the_log_of_an_old_worker_has_no_secret_of_a_command() {
    the_workers_own_log_has_no_secret_of_a_command("2.10.5");
}

#[test]
fn the_log_of_a_new_worker_has_no_secret_of_a_command() {
    the_workers_own_log_has_no_secret_of_a_command("4.3.0");
}

#[test]
fn providers_are_asked_in_their_order() {
    let (mut master, secrets) = create(
        r#"
        local Vault = secrets.SecretProviderBase:extend("Vault", { args = { prefix = "string" } })
        function Vault:get(name)
          if name == "waits" then sleep(0.2) return self.prefix .. "waited" end
          if name == "fails" then error("the vault is closed") end
          if name == "odd" then return { "a table" } end
        end
        c.secretsProviders = {
          secrets.SecretInAFile{ dirname = "@SECRETS@", suffixes = { ".txt", "" }, strip = false },
          Vault{ prefix = "vault-" },
          secrets.SecretInCommand{ { "sh", "-c", 'case "$1" in cmd*) echo once >> @DIR@/asked; echo "command-$1";; hangs) sleep 600;; bad) echo no >&2; exit 7;; esac', "sh", "%(name)s" }, timeout = 5 },
          secrets.SecretInPass{ dirname = "store", gpgPassphrase = "a-phrase" },
          secrets.SecretInEnvironment{ prefix = "TEST_SECRET_" },
        }
        c.workers = { LocalWorker{ "w" } }
        local list, names = {}, { "tok", "both", "waits", "cmd1", "cmd1", "team/db", "env", "fails", "odd", "hangs", "bad", "none" }
        for i, name in ipairs(names) do
          list[i] = steps.ShellCommand{ name = name, alwaysRun = true, command = { "sh", "-c", 'printf %s "$1" | tr a-z A-Z', "sh", util.Secret(name) } }
        end
        c.builders = { builder("b", "w", list) }
        forced{ "b" }"#,
    );
    put(secrets.path(), "both.txt", "first", 0o600);
    put(secrets.path(), "both", "second", 0o600);
    let bin = tempfile::tempdir().expect("a folder");
    put(
        bin.path(),
        "pass",
        "#!/bin/sh\n[ \"$1\" = team/db ] && { echo \"entry $PASSWORD_STORE_GPG_OPTS ${PASSWORD_STORE_DIR##*/}\"; echo more; exit 0; }\n\
         echo \"Error: $1 is not in the password store.\" >&2; exit 1\n",
        0o700,
    );
    master.launch_in(&format!(
        "PATH={}:$PATH TEST_SECRET_env=environ TEST_SECRET_other=not-asked; export PATH TEST_SECRET_env TEST_SECRET_other; exec \"$@\"",
        bin.path().display()
    ));
    let build = master.build("b", json!({}));
    assert_eq!(build["results"], EXCEPTION, "{build:#}");
    let out = |step: &str| {
        let log = master.log_contents(&build, step, "stdio");
        log.lines().find_map(|l| l.strip_prefix('o').map(str::to_owned)).unwrap_or_else(|| panic!("no output of {step}: {log}"))
    };
    assert_eq!(out("both"), "FIRST");
    assert_eq!(out("waits"), "VAULT-WAITED");
    assert_eq!(out("cmd1"), "COMMAND-CMD1");
    assert_eq!(out("cmd1_1"), "COMMAND-CMD1");
    assert_eq!(fs::read_to_string(master.dir().join("asked")).expect("what was asked"), "once\n", "once for each build");
    assert_kept(&master, &build, &["not-asked", "vault-waited", "command-cmd1"]);
    assert_eq!(out("team/db"), "ENTRY --BATCH --PINENTRY-MODE LOOPBACK --PASSPHRASE A-PHRASE STORE");
    assert_eq!(out("env"), "ENVIRON");
    let told = |step: &str| master.log_contents(&build, step, "err.text");
    assert!(
        told("fails").contains("secret 'fails' of Vault (master.lua:") && told("fails").contains("the vault is closed"),
        "{}",
        told("fails")
    );
    assert!(told("odd").contains("must give the secret as text or nil, got a table"), "{}", told("odd"));
    assert!(told("hangs").contains("sh did not end within 5"), "{}", told("hangs"));
    assert!(told("bad").contains("sh ended with 7: no"), "{}", told("bad"));
    let none = told("none");
    for part in ["SecretInAFile (", "Vault (", "SecretInCommand (", "SecretInPass (", "SecretInEnvironment (", "TEST_SECRET_none"] {
        assert!(none.contains(part), "no {part} in {none}");
    }
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let (mut master, secrets) = create(
        r#"c.secretsProviders = { secrets.SecretInAFile{ dirname = "@SECRETS@", suffixes = { ".txt" } } }
        c.workers = { LocalWorker{ "w" } }
        c.builders = { builder("b", "w", { said("s", util.Secret("open")) }) }
        forced{ "b" }"#,
    );
    let check = || master.command("checkconfig", &[], &[]);
    put(secrets.path(), "open", "not a secret: no .txt", 0o644);
    assert_eq!(check().code, Some(0), "{check:#?}", check = check());
    put(secrets.path(), "open.txt", "seen", 0o644);
    let checked = check();
    assert_ne!(checked.code, Some(0));
    assert!(checked.err.contains("SecretInAFile: ") && checked.err.contains("open.txt may be read by others"), "{}", checked.err);
    assert!(checked.err.contains("chmod 600"), "{}", checked.err);
    let started = master.command("start", &[], &[]);
    assert!(started.code != Some(0) && started.err.contains("chmod 600"), "{started:?}");
    // Also one that is opened later.
    put(secrets.path(), "open.txt", "hidden", 0o600);
    master.launch();
    put(secrets.path(), "open.txt", "seen", 0o604);
    let build = master.build("b", json!({}));
    assert_eq!(build["results"], EXCEPTION, "{build:#}");
    assert!(master.log_contents(&build, "s", "err.text").contains("(mode 604): chmod 600 it"));
}

#[test]
fn a_workers_password_is_a_secret() {
    let (master, secrets) = start(
        r#"c.secretsProviders = { secrets.SecretInAFile{ dirname = "@SECRETS@" } }
        c.workers = { Worker{ "one", util.Secret("one") }, Worker{ "two", util.Secret("long") } }
        local list = { steps.ShellCommand{ name = "tell", command = "cat ../../buildbot.tac" } }
        c.builders = { builder("b", "two", list), builder("idle", "one", list) }
        forced{ "b", "idle" }"#,
    );
    master.wait_log("no provider has the secret 'one'");
    let mut one = Worker::create("4.3.0", "one", "the-password", master.pb);
    one.launch();
    master.wait_log("worker 'one' can't log in: its password");
    // Another is not harmed, and what it tells of its password is hidden.
    let _two = Worker::start("4.3.0", "two", LONG, master.pb);
    master.wait_attached("two");
    let build = master.build("b", json!({}));
    let told = master.log_contents(&build, "tell", "stdio");
    assert!(told.contains("<long>") && !told.contains(LONG), "{told}");
    assert_kept(&master, &build, &[LONG]);
    // As soon as there is one, the worker that has tried all the time is let in.
    put(secrets.path(), "one", "the-password\n", 0o600);
    master.wait_attached("one");
    let mut wrong = Worker::create("4.3.0", "two", "wrong", master.pb);
    wrong.launch();
    master.wait_log("login refused: wrong password");
    assert!(!master.log().contains("the-password") && !master.log().contains(LONG));
}

#[test]
fn run_has_the_secrets_too() {
    let (master, _secrets) = create(
        r#"c.secretsProviders = { secrets.SecretInAFile{ dirname = "@SECRETS@" } }
        c.workers = { LocalWorker{ "w" } }
        c.builders = { builder("b", "w", { said("s", util.Secret("tok")) }) }
        forced{ "b" }"#,
    );
    let ran = master.command("run", &["b"], &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("<tok>\n") && !(ran.out + &ran.err).contains(TOKEN));
}

/// Lua code that was given a secret says it, to the log and in an error: neither shows it.
#[test]
fn what_lua_code_says_of_a_secret_is_masked() {
    let (master, _secrets) = start(
        r#"
c.secretsProviders = { secrets.SecretInAFile{ dirname = "@SECRETS@" } }
c.workers = { LocalWorker{ "l" } }
local Talk = steps.BuildStep:extend("Talk")
function Talk:run()
  local value = self:render(util.Secret("tok"))
  log.info("it is " .. value)
  log.warn("in the language of JSON: " .. json.encode({ value }))
  error("it failed with " .. value)
end
c.builders = { builder("b", "l", { Talk{ name = "talk" } }) }
forced{ "b" }
"#,
    );
    let build = master.build("b", json!({}));
    assert_eq!(build["results"], json!(4), "{build}");
    let log = master.log();
    assert!(log.contains("it is <tok>") && log.contains("in the language of JSON: [\"<tok>\"]"), "{log}");
    assert_kept(&master, &build, &[TOKEN]);
}
