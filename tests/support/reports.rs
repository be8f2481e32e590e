//! Builds, requests and build sets as they are known when a message is made of them: always the same ones.

use std::sync::Arc;

use buildmoon::base::{BuildId, BuilderId, BuildsetId, LogId, RequestId, SourceStampId, StepId, Timestamp, WorkerId};
use buildmoon::config::WantedLogs;
use buildmoon::model::{Build, BuildRequest, Buildset, Log, LogKind, Properties, Results, SourceStamp, Step};
use buildmoon::report::Setting;
use buildmoon::report::about::{LogText, LogTexts};
use buildmoon::report::facts::{BuildFacts, BuilderFacts, SetFacts, StepFacts};

pub const NOW: Timestamp = Timestamp(1_795_248_000_000);

pub fn after(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + 1000 * seconds)
}

pub fn buildset() -> Buildset {
    Buildset {
        id: BuildsetId(12),
        reason: "A build was forced by 'Alice': before the release".into(),
        submitted_at: after(-10),
        sourcestamps: vec![(
            SourceStampId(3),
            SourceStamp {
                codebase: String::new(),
                repository: "https://example.org/hello.git".into(),
                project: "hello".into(),
                branch: Some("main".into()),
                revision: Some("1a2b3c4d5e6f".into()),
            },
        )],
        properties: Properties::default(),
    }
}

pub fn step(number: i64, name: &str, results: Results, state: &str, seconds: i64) -> StepFacts {
    let id = StepId(100 + number);
    let log = Log {
        id: LogId(1000 + number),
        step: id,
        name: "stdio".into(),
        slug: "stdio".into(),
        kind: LogKind::Stdio,
        complete: true,
        num_lines: 3,
    };
    StepFacts {
        step: Step {
            id,
            build: BuildId(70),
            number,
            name: name.into(),
            state: state.into(),
            started_at: Some(after(number * 60)),
            complete_at: Some(after(number * 60 + seconds)),
            results: Some(results),
            hidden: false,
        },
        logs: vec![log],
        urls: Vec::new(),
    }
}

pub fn request(set: Buildset) -> BuildRequest {
    BuildRequest {
        id: RequestId(21),
        buildset: Arc::new(set),
        builder: BuilderId(1),
        priority: 0,
        submitted_at: after(-10),
        attempts: 0,
        story: Vec::new(),
    }
}

pub fn builder(name: &str) -> BuilderFacts {
    BuilderFacts { name: name.into(), description: None, tags: vec!["nightly".into()], project: String::new() }
}

pub fn build(results: Results) -> BuildFacts {
    let mut properties = Properties::default();
    properties.set("owner", "alice@example.org", "Force Build Form");
    properties.set("buildername", "runtests", "Builder");
    let failed = results == Results::Failure;
    BuildFacts {
        build: Build {
            id: BuildId(70),
            number: 7,
            builder: BuilderId(1),
            request: RequestId(21),
            worker: WorkerId(4),
            started_at: NOW,
            complete_at: Some(after(185)),
            state: if failed { "3 tests failed (failure)" } else { "build successful" }.into(),
            results: Some(results),
        },
        request: request(buildset()),
        builder: builder("runtests"),
        worker: Some("bot-solaris".into()),
        properties,
        steps: vec![
            step(0, "git", Results::Success, "update hello", 4),
            step(1, "compile", Results::Success, "compile", 58),
            step(2, "test", if failed { results } else { Results::Success }, if failed { "3 tests failed (failure)" } else { "test" }, 62),
        ],
        previous: Some(Results::Success),
        url: "http://ci.example.org/#/builders/1/builds/7".into(),
    }
}

pub fn texts(logs: &[(i64, &str)]) -> LogTexts {
    let text = |text: &str| LogText { content: text.as_bytes().to_vec(), ..LogText::default() };
    logs.iter().map(|(id, content)| (LogId(*id), text(content))).collect()
}

pub const TEST_LOG: &str = "hmake check\nh in dir /home/bot/build\notest_add ... ok\no\u{1b}[31mtest_div ... FAILED\u{1b}[0m\neassertion failed: 1/0 == \u{221e}\nomake: *** [check] Error 1\nhprogram finished with exit code 2\n";

pub fn set(builds: Vec<BuildFacts>) -> SetFacts {
    SetFacts {
        buildset: Arc::new(buildset()),
        external_idstring: None,
        results: builds.iter().filter_map(|b| b.build.results).reduce(Results::worst),
        complete_at: Some(after(400)),
        builds,
    }
}

pub fn two_builds() -> SetFacts {
    let mut other = build(Results::Success);
    other.builder = builder("docs");
    other.build.number = 31;
    other.url = "http://ci.example.org/#/builders/2/builds/31".into();
    set(vec![build(Results::Failure), other])
}

pub struct Given {
    pub title: String,
    pub mode: Vec<String>,
    pub blamelist: Vec<String>,
    pub subject: Option<String>,
    pub add_logs: WantedLogs,
    pub logs: LogTexts,
}

impl Default for Given {
    fn default() -> Given {
        Given {
            title: "Hello World CI".into(),
            mode: vec!["failing".into(), "passing".into(), "change".into()],
            blamelist: vec!["alice@example.org".into(), "Bob <bob@example.org>".into()],
            subject: None,
            add_logs: WantedLogs::None,
            logs: LogTexts::new(),
        }
    }
}

impl Given {
    pub fn setting(&self) -> Setting<'_> {
        Setting {
            title: &self.title,
            buildbot_url: "http://ci.example.org/",
            mode: &self.mode,
            blamelist: &self.blamelist,
            subject: self.subject.as_deref(),
            add_logs: &self.add_logs,
            logs: &self.logs,
        }
    }
}
