//! Names: what an identifier is, and what to say of a name that is not there. A class of Buildbot that is known and not
//! supported is told as such, never as a typo.

use super::class::{ClassDecl, classes};
use super::convert::Wrong;
use crate::base::suggest;

/// Letters, digits, `_` and `-`, no digit first; letters of any script.
pub(super) fn is_identifier(name: &str, longest: usize) -> Result<(), Wrong> {
    let mut chars = name.chars();
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '-' || (c as u32 >= 0xa0 && !c.is_whitespace());
    let fits = chars.next().is_some_and(letter) && chars.all(|c| letter(c) || c.is_ascii_digit());
    if !fits {
        return Err(Wrong::says(format!("must be an identifier (letters, digits, '_' and '-', no digit first), got {name:?}")));
    }
    if name.chars().count() > longest {
        return Err(Wrong::says(format!("must not be longer than {longest} characters, got {name:?}")));
    }
    Ok(())
}

/// What to write instead of a class of Buildbot that there is not.
const INSTEAD: &[(&str, &str)] = &[
    ("RemoteShellCommand", "self:makeRemoteShellCommand in run() of a step does it"),
    ("renderer", "a plain function of the properties does the same"),
    ("MasterShellCommand", "a ShellCommand on a LocalWorker runs beside the master"),
    ("SetPropertiesFromEnv", "SetPropertyFromCommand can read one variable"),
    ("MakeDirectory", "ShellCommand with 'mkdir -p' does it"),
    ("RemoveDirectory", "ShellCommand with 'rm -rf' does it"),
    ("CopyDirectory", "ShellCommand with 'cp -R' does it"),
    ("FileExists", "ShellCommand with 'test -f' does it"),
    ("Git", "ShellCommand with 'git' does it"),
    ("GitHub", "ShellCommand with 'git' does it"),
    ("GitLab", "ShellCommand with 'git' does it"),
    ("CMake", "Configure with a command of its own does it"),
];

/// Classes and functions of Buildbot that are not supported yet.
const NOT_YET: &str = "
    AbstractLatentWorker LatentWorker LocalLatentWorker EC2LatentWorker DockerLatentWorker KubeLatentWorker OpenStackLatentWorker
    LibVirtWorker MarathonLatentWorker UpcloudLatentWorker HyperLatentWorker EC2LatentBuildSlave AbstractLatentBuildSlave
    KubeHardcodedConfig KubeCtlProxyConfigLoader KubeInClusterConfigLoader
    Machine GenericLatentMachine AbstractLatentMachine LocalWakeAction LocalWOLAction RemoteSshWakeAction RemoteSshWOLAction
    RemoteSshSuspendAction HttpAction
    SingleBranchScheduler AnyBranchScheduler Scheduler Dependent Timed Periodic NightlyBase Nightly NightlyTriggerable Triggerable
    Try_Jobdir Try_Userpass BaseBasicScheduler BaseScheduler
    InheritBuildParameter PatchParameter BaseParameter
    GitPoller HgPoller SVNPoller P4Source GitHubPullrequestPoller BitbucketPullrequestPoller GerritChangeSource GerritEventLogPoller
    PBChangeSource CVSMaildirSource SVNCommitEmailMaildirSource BzrLaunchpadEmailMaildirSource
    ChangeFilter GerritChangeFilter SourceStampFilter
    GNUAutoconf BasicBuildFactory QuickBuildFactory BasicSVN CPAN Distutils
    MasterLock WorkerLock Project Codebase
    RemoteShellCommand
    CMake SetPropertiesFromEnv Trigger FileUpload DirectoryUpload MultipleFileUpload FileDownload StringDownload JSONStringDownload
    JSONPropertiesDownload MasterShellCommand RemoveDirectory MakeDirectory CopyDirectory FileExists Assert LogRenderable HTTPStep POST
    GET PUT DELETE HEAD OPTIONS DownloadSecretsToWorker RemoveWorkerFileSecret GitDiffInfo TreeSize Trial HLint RemovePYCs PyFlakes
    PyLint Sphinx BuildEPYDoc PerlModuleTest SubunitShellCommand Cppcheck MaxQ Robocopy VisualStudio VC6 VC7 VC8 VC9 VC10 VC11 VC12
    VC14 VC141 VS2019 VS2022 VCExpress9 MsBuild4 MsBuild12 MsBuild14 MsBuild141 MsBuild16 MsBuild17 DebPbuilder DebCowbuilder UbuPbuilder
    UbuCowbuilder DebLintian RpmBuild RpmLint Mock MockBuildSRPM MockRebuild BuildbotTestCiTrigger BuildbotCiSetupSteps
    Git GitHub GitLab Gerrit GitCommit GitTag GitPush Mercurial SVN CVS Bzr Darcs Monotone P4 Repo
    renderer URLForBuild
    BuildStatusGenerator BuildStartEndStatusGenerator BuildSetStatusGenerator BuildSetCombinedStatusGenerator BuildRequestGenerator
    WorkerMissingGenerator GerritBuildSetStatusGenerator GerritBuildStartStatusGenerator GerritBuildEndStatusGenerator
    MessageFormatter MessageFormatterRenderable MessageFormatterFunction MessageFormatterFunctionRaw MessageFormatterEmpty
    MessageFormatterMissingWorker MailNotifier GitHubStatusPush GitHubCommentPush GitLabStatusPush HttpStatusPush BitbucketStatusPush
    BitbucketServerStatusPush BitbucketServerCoreAPIStatusPush BitbucketServerPRCommentPush GerritStatusPush GerritVerifyStatusPush
    GiteaStatusPush IRC TelegramBot ZulipStatusPush PushoverNotifier PushjetNotifier ReporterBase
    NoAuth UserPasswordAuth HTPasswdAuth HTPasswdAprAuth CustomAuth RemoteUserAuth GitHubAuth GitLabAuth GoogleAuth BitbucketAuth
    KeyCloakAuth LdapUserInfo Authz AnyControlEndpointMatcher AnyEndpointMatcher ForceBuildEndpointMatcher StopBuildEndpointMatcher
    RebuildBuildEndpointMatcher EnableSchedulerEndpointMatcher ViewBuildsEndpointMatcher BranchEndpointMatcher RolesFromGroups
    RolesFromUsername RolesFromOwner RolesFromEmails RolesFromDomain AvatarGravatar AvatarGitHub RevlinkMatch
    SecretInAFile SecretInPass HashiCorpVaultKvSecretProvider SecretProviderBase VaultAuthenticatorToken VaultAuthenticatorApprole
    StatsService InfluxStorageService CaptureProperty CapturePropertyAllBuilders CaptureBuildStartTime CaptureBuildEndTime
    CaptureBuildDuration CaptureData CaptureDataAllBuilders
    JanitorConfigurator OldBuildCanceller FailingBuildsetCanceller TelnetManhole PasswordManhole AuthorizedKeysManhole
    ArbitraryCheckerManhole CommandlineUserManager UsersFromChanges
    GitHubEventHandler Properties giturlparse
";

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
    if NOT_YET.split_whitespace().any(|known| known == name) {
        let instead = INSTEAD.iter().find(|(known, _)| *known == name).map(|(_, text)| format!("; {text}"));
        return Some(format!("Buildbot's {name} is not supported yet{}", instead.unwrap_or_default()));
    }
    let known = classes().iter().map(|c| c.name).chain(NOT_YET.split_whitespace());
    let nearest = suggest::nearest(name, known)?;
    let shown = classes().iter().find(|c| c.name == nearest).map_or_else(|| nearest.to_owned(), full);
    Some(format!("did you mean '{shown}'?"))
}
