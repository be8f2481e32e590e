//! Names: what an identifier is, and what to say of a name that is not there. A class of Buildbot that is known and not
//! supported is told as such, never as a typo.

use super::class::{ClassDecl, classes};
use super::convert::Wrong;
use super::value::Value;
use crate::base::suggest;

/// Letters, digits, `_` and `-`, no digit first; letters of any script.
pub(super) fn is_identifier(name: &str, longest: usize) -> Result<(), Wrong> {
    let mut chars = name.chars();
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '-' || (c as u32 >= 0xa0 && !c.is_whitespace());
    let fits = chars.next().is_some_and(letter) && chars.all(|c| letter(c) || c.is_ascii_digit());
    if !fits {
        return Err(Wrong::must("an identifier (letters, digits, '_' and '-', no digit first)", &Value::Text(name.into())));
    }
    if name.chars().count() > longest {
        return Err(Wrong::says(format!("must not be longer than {longest} characters, got {}", Value::Text(name.into()).describe())));
    }
    Ok(())
}

/// Classes, functions and modules of Buildbot that are not supported yet, and what does the same meanwhile.
const NOT_YET: &[(&str, &str)] = &[
    (
        "KubeLatentWorker
         MarathonLatentWorker UpcloudLatentWorker HyperLatentWorker
         KubeHardcodedConfig KubeCtlProxyConfigLoader KubeInClusterConfigLoader",
        "a Worker on a machine that is always there does the same",
    ),
    (
        "Machine GenericLatentMachine AbstractLatentMachine LocalWakeAction LocalWOLAction RemoteSshWakeAction RemoteSshWOLAction
         RemoteSshSuspendAction HttpAction",
        "machines have to be awake by themselves",
    ),
    ("Timed Periodic NightlyBase Nightly NightlyTriggerable", "cron can call `buildmoon force`"),
    (
        "SingleBranchScheduler AnyBranchScheduler Scheduler BaseBasicScheduler BaseScheduler Try_Jobdir Try_Userpass
         GitPoller HgPoller SVNPoller P4Source GitHubPullrequestPoller BitbucketPullrequestPoller GerritChangeSource
         GerritEventLogPoller PBChangeSource CVSMaildirSource SVNCommitEmailMaildirSource BzrLaunchpadEmailMaildirSource
         ChangeFilter GerritChangeFilter SourceStampFilter GitHubEventHandler hooks",
        "a hook of the repository can call `buildmoon force`",
    ),
    ("Dependent Triggerable Trigger", "the steps of several builders can stand in one factory"),
    ("InheritBuildParameter PatchParameter BaseParameter", "StringParameter takes any text"),
    ("MasterLock WorkerLock locks", "max_builds = 1 lets one build at a time run on a worker"),
    ("Project Codebase", ""),
    ("GNUAutoconf BasicBuildFactory QuickBuildFactory BasicSVN CPAN Distutils", "a BuildFactory with the steps themselves does it"),
    ("RemoteShellCommand", "self:makeRemoteShellCommand in run() of a step does it"),
    ("CMake", "Configure with a command of its own does it"),
    ("SetPropertiesFromEnv", "SetPropertyFromCommand can read one variable"),
    ("MasterShellCommand", "a ShellCommand on a LocalWorker runs beside the master"),
    ("MakeDirectory", "ShellCommand with 'mkdir -p' does it"),
    ("RemoveDirectory", "ShellCommand with 'rm -rf' does it"),
    ("CopyDirectory", "ShellCommand with 'cp -R' does it"),
    ("FileExists", "ShellCommand with 'test -f' does it"),
    ("Assert", "doStepIf, or a ShellCommand with 'false', does it"),
    (
        "FileUpload DirectoryUpload MultipleFileUpload FileDownload StringDownload JSONStringDownload JSONPropertiesDownload",
        "ShellCommand with 'scp' or 'rsync' does it",
    ),
    ("HTTPStep POST GET PUT DELETE HEAD OPTIONS", "ShellCommand with 'curl' does it"),
    ("LogRenderable", "ShellCommand with 'echo' and an Interpolate does it"),
    ("DownloadSecretsToWorker RemoveWorkerFileSecret", "a file on the worker can hold the secret"),
    ("GitDiffInfo GitCommit GitTag GitPush Git GitHub GitLab Gerrit Repo", "ShellCommand with 'git' does it"),
    ("Mercurial", "ShellCommand with 'hg' does it"),
    ("SVN", "ShellCommand with 'svn' does it"),
    ("CVS Bzr Darcs Monotone P4", "ShellCommand with the tool itself does it"),
    ("TreeSize", "SetPropertyFromCommand with 'du -s' does it"),
    (
        "Trial HLint RemovePYCs PyFlakes PyLint Sphinx BuildEPYDoc PerlModuleTest SubunitShellCommand Cppcheck MaxQ Robocopy DebPbuilder
         DebCowbuilder UbuPbuilder UbuCowbuilder DebLintian RpmBuild RpmLint Mock MockBuildSRPM MockRebuild",
        "ShellCommand with the tool itself does it; WarningCountingShellCommand counts its warnings",
    ),
    (
        "VisualStudio VC6 VC7 VC8 VC9 VC10 VC11 VC12 VC14 VC141 VS2019 VS2022 VCExpress9 MsBuild4 MsBuild12 MsBuild14 MsBuild141
         MsBuild16 MsBuild17",
        "WarningCountingShellCommand with 'msbuild' does it",
    ),
    ("BuildbotTestCiTrigger BuildbotCiSetupSteps", "ShellSequence runs several commands"),
    ("URLForBuild", "Interpolate can join buildbotURL with the build's properties"),
    (
        "GerritBuildSetStatusGenerator GerritBuildStartStatusGenerator GerritBuildEndStatusGenerator GitHubStatusPush
         GitHubCommentPush GitLabStatusPush BitbucketStatusPush BitbucketServerStatusPush
         BitbucketServerCoreAPIStatusPush BitbucketServerPRCommentPush GerritStatusPush GerritVerifyStatusPush GiteaStatusPush IRC
         TelegramBot ZulipStatusPush PushoverNotifier PushjetNotifier",
        "a last step with alwaysRun = true can tell of the build; REST has its result",
    ),
    (
        "NoAuth UserPasswordAuth HTPasswdAuth HTPasswdAprAuth CustomAuth RemoteUserAuth GitHubAuth GitLabAuth GoogleAuth BitbucketAuth
         KeyCloakAuth LdapUserInfo Authz AnyControlEndpointMatcher AnyEndpointMatcher ForceBuildEndpointMatcher
         StopBuildEndpointMatcher RebuildBuildEndpointMatcher EnableSchedulerEndpointMatcher ViewBuildsEndpointMatcher
         BranchEndpointMatcher RolesFromGroups RolesFromUsername RolesFromOwner RolesFromEmails RolesFromDomain auth authz
         AvatarGravatar AvatarGitHub RevlinkMatch",
        "the web server answers on 127.0.0.1 only, so a server in front of it can ask for a login",
    ),
    (
        "HashiCorpVaultKvSecretProvider VaultAuthenticatorToken VaultAuthenticatorApprole",
        "secrets.SecretInCommand with the program 'vault' does it",
    ),
    (
        "StatsService InfluxStorageService CaptureProperty CapturePropertyAllBuilders CaptureBuildStartTime CaptureBuildEndTime
         CaptureBuildDuration CaptureData CaptureDataAllBuilders",
        "REST has the builds with their times",
    ),
    ("JanitorConfigurator", "logMaxSize keeps logs small"),
    ("OldBuildCanceller FailingBuildsetCanceller", "collapseRequests makes one of several requests that wait"),
    (
        "TelnetManhole PasswordManhole AuthorizedKeysManhole ArbitraryCheckerManhole CommandlineUserManager UsersFromChanges manhole",
        "`buildmoon status` and REST show what the master does",
    ),
];

/// All names of [`NOT_YET`], each with what to use instead.
fn not_yet() -> impl Iterator<Item = (&'static str, &'static str)> {
    NOT_YET.iter().flat_map(|(names, instead)| names.split_whitespace().map(move |name| (name, *instead)))
}

/// What to say of a name that is not there: the place of a class that is elsewhere, that it is not supported yet, or the
/// nearest known name.
pub fn known_names_hint(name: &str) -> Option<String> {
    let full = |class: &ClassDecl| match class.namespaces.first() {
        Some(space) if !class.top_level => format!("{space}.{}", class.name),
        _ => class.name.to_owned(),
    };
    if let Some(class) = classes().iter().find(|c| c.name == name) {
        return Some(format!("it is {}", full(class)));
    }
    if let Some(class) = classes().iter().find(|c| c.old_names.contains(&name)) {
        return Some(format!("today it is {}", full(class)));
    }
    if let Some((_, instead)) = not_yet().find(|(known, _)| *known == name) {
        let mend = if instead.is_empty() { String::new() } else { format!("; {instead}") };
        return Some(format!("Buildbot's {name} is not supported yet{mend}"));
    }
    // A module's name is too short to be guessed.
    let not_yet = not_yet().map(|(name, _)| name).filter(|name| name.starts_with(|c: char| c.is_uppercase()));
    let known = classes().iter().map(|c| c.name).chain(not_yet);
    let nearest = suggest::nearest(name, known)?;
    let shown = classes().iter().find(|c| c.name == nearest).map_or_else(|| nearest.to_owned(), full);
    Some(format!("did you mean '{shown}'?"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_of_buildbot_is_told_with_what_does_the_same() {
        let told = |name| known_names_hint(name).unwrap_or_default();
        assert_eq!(told("Nightly"), "Buildbot's Nightly is not supported yet; cron can call `buildmoon force`");
        assert_eq!(told("hooks"), "Buildbot's hooks is not supported yet; a hook of the repository can call `buildmoon force`");
        assert_eq!(told("Nigthly"), "did you mean 'Nightly'?");
        assert_eq!(told("ShelCommand"), "did you mean 'steps.ShellCommand'?");
        assert_eq!(told("ShellCommand"), "it is steps.ShellCommand");
        assert_eq!(known_names_hint("hook"), None);
    }

    #[test]
    fn nothing_that_is_there_is_called_missing() {
        let there: Vec<_> = not_yet().filter(|(name, _)| classes().iter().any(|c| c.name == *name)).collect();
        assert!(there.is_empty(), "classes that are supported: {there:?}");
    }

    #[test]
    fn each_name_stands_once() {
        let names: Vec<&str> = not_yet().map(|(name, _)| name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
