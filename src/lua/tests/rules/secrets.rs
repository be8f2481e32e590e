//! Secrets in the language: what an instance shows of them, and providers that are classes of the file.

use super::super::*;
use crate::config::{BackendSpec, Template, WorkerKind};

#[tokio::test]
async fn rule_08_declared_objects_show_their_arguments_with_secrets_masked() {
    see(r#"
        local plain, named = Worker{ "a", "pass" }, Worker{ "b", util.Secret("pw") }
        assert(plain.password == "***")
        assert(tostring(named.password) == "Secret(pw)" and named.password.name == "pw", tostring(named.password))
        local pass = secrets.SecretInPass{ gpgPassphrase = "phrase", dirname = "d" }
        assert(pass.gpgPassphrase == "***" and pass.dirname == "d")
        local env = secrets.SecretInEnvironment{}
        assert(env.prefix == "")
    "#)
    .await;
}

/// The method of a provider, as the host gets it.
fn get(seen: &Seen) -> FnRef {
    match seen.object("SecretProviderBase").args.named.get("get") {
        Some(Value::Function(function)) => function.clone(),
        other => panic!("'get' is {other:?}"),
    }
}

#[tokio::test]
async fn providers_of_the_file_are_asked_with_self_and_may_wait() {
    let seen = see(r#"
        local Base = secrets.SecretProviderBase:extend("Base")
        function Base:get(name)
            sleep(0.01)
            if name == "odd" then return { "seen-value" } end
            if name == "bytes" then return "\xff" end
            if name == "fails" then error("closed") end
            return self.values[name]
        end
        local Mine = Base:extend("Mine", { args = { values = "table" } })
        assert(Mine{ values = { a = "one", n = None } }.get == Base.get)
    "#)
    .await;
    let (get, generation) = (get(&seen), &seen.loaded.generation);
    assert_eq!(generation.secret(&get, "a").await.unwrap().unwrap().reveal(), "one");
    assert_eq!((generation.secret(&get, "n").await, generation.secret(&get, "none").await), (Ok(None), Ok(None)));
    for (name, told) in [
        ("odd", "must give the secret as text or nil, got a table"),
        ("bytes", "must give text, got text that is not UTF-8"),
        ("fails", "closed"),
    ] {
        let failure = generation.secret(&get, name).await.unwrap_err().to_string();
        assert!(failure.contains(told) && failure.contains("SecretProvider.get") && !failure.contains("seen-value"), "{failure}");
    }
}

#[tokio::test]
async fn a_provider_without_get_is_told() {
    let folder = Folder::new(&[(
        "master.lua",
        r#"local Mine = secrets.SecretProviderBase:extend("Mine")
BuildmasterConfig.secretsProviders = { Mine{}, secrets.SecretProviderBase{ url = "x" } }"#,
    )]);
    let told: Vec<String> = load(folder.options()).await.unwrap_err().iter().map(ToString::to_string).collect();
    let lacks = "has no method 'get(self, name)': write secrets.SecretProviderBase:extend(\"Name\", { get = function(self, name) … end })";
    assert_eq!(
        told,
        [
            format!("master.lua:2: Mine: {lacks}"),
            "master.lua:2: SecretProviderBase: unknown argument 'url' (a class of one's own declares its arguments: args = { url = \"string\" })".into(),
            format!("master.lua:2: SecretProviderBase: {lacks}"),
        ]
    );
}

#[tokio::test]
async fn what_providers_are_given_is_checked() {
    for (given, told) in [
        ("secrets.SecretInAFile{}", "SecretInAFile: missing argument 'dirname'"),
        ("secrets.SecretInAFile{ \"\" }", "SecretInAFile: 'dirname' must not be empty"),
        ("secrets.SecretInAFile{ \"d\", { \"/x\" } }", "SecretInAFile: 'suffixes' must be endings of file names, got \"/x\""),
        ("secrets.SecretInPass{ 5 }", "SecretInPass: 'gpgPassphrase' must be text, got a number"),
        ("secrets.SecretInCommand{ {} }", "SecretInCommand: 'command' must begin with a program"),
        (
            "secrets.SecretInCommand{ { \"vault\" } }",
            "SecretInCommand: 'command' must have %(name)s in one of its arguments: the name of the secret that is asked for",
        ),
        (
            "secrets.SecretInCommand{ { \"get-%(name)s\" } }",
            "SecretInCommand: 'command' must begin with a program: %(name)s can only stand in its arguments",
        ),
        ("secrets.SecretInCommand{ { \"a\", \"%(name)s\" }, timeout = 0 }", "SecretInCommand: 'timeout' must be longer than 0"),
        ("util.Secret(\"\")", "Secret: a secret's name must not be empty"),
        ("util.Secret(\"a\\nb\")", "Secret: a secret's name must not hold control characters, got \"a\\nb\""),
        ("Worker{ \"w\", util.Secret(\"pw\") }", "Worker \"w\": its password is the secret 'pw', but c.secretsProviders is empty"),
        ("Worker{ \"w\", Property(\"pw\") }", "Worker \"w\": 'password' must be text or a util.Secret, got a Property"),
    ] {
        let text = format!("local x = {given}\nif x:isinstance(Worker) then BuildmasterConfig.workers = {{ x }} end");
        let folder = Folder::new(&[("master.lua", &text)]);
        let mistakes = load(folder.options()).await.unwrap_err();
        let found: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(found, [format!("master.lua:1: {told}")], "{given}");
    }
}

#[tokio::test]
async fn rule_8_no_secret_is_shown_by_its_field() {
    see(r#"
        local worker = EC2LatentWorker{ "w", "hush", "m1.large", ami = "ami-1", identifier = "hush", secret_identifier = "hush" }
        assert(worker.password == "***" and worker.identifier == "***" and worker.secret_identifier == "***")
        local mail = reporters.MailNotifier{ fromaddr = "a@b.org", smtpUser = "hush", smtpPassword = "hush" }
        assert(mail.smtpUser == "***" and mail.smtpPassword == "***")
        local step = steps.ShellCommand{ command = "x", env = { A = "b" } }
        assert(step.env.A == "b")
    "#)
    .await;
}

#[tokio::test]
async fn a_secret_that_a_backend_is_given_is_looked_up_for_it() {
    let folder = Folder::new(&[(
        "master.lua",
        r#"
        local w = OpenStackLatentWorker{ "w", "pw", flavor = "1", image = "i", os_username = "u", os_password = util.Secret("cloud"),
          os_tenant_name = "t", os_auth_url = "https://keystone/" }
        BuildmasterConfig.workers = { w }
        BuildmasterConfig.secretsProviders = { secrets.SecretInEnvironment{} }
    "#,
    )]);
    let loaded = load(folder.options()).await.unwrap();
    let WorkerKind::Latent(latent) = &loaded.config.workers[0].kind else { panic!() };
    let BackendSpec::Lua(spec) = &latent.backend else { panic!() };
    assert_eq!(spec.rendered.get("os_password"), Some(&Template::Secret("cloud".into())));
}
