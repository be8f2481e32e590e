//! Asks the providers of a configuration for a secret, in their order.
//!
//! A provider that has none of that name lets the next one be asked; one that fails ends the search, since a later one
//! might have an older value. Keeps nothing.

use std::sync::Arc;

use super::{files, programs, veil};
use crate::base::Secret;
use crate::config::{MasterConfig, SecretProviderKind, SecretProviderSpec};
use crate::lua::Generation;

/// Larger secrets are refused.
pub(super) const LARGEST: usize = 64 << 10;

/// Why a secret can't be had. Holds no value.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SecretTrouble(pub String);

/// What one provider says: the value, or why it has none of that name. The error is a failure.
pub(super) type Answer = Result<Result<Secret, String>, String>;

/// The providers of one configuration.
#[derive(Clone, Debug)]
pub struct SecretSource {
    config: Arc<MasterConfig>,
    generation: Arc<Generation>,
}

impl SecretSource {
    pub fn new(config: Arc<MasterConfig>, generation: Arc<Generation>) -> SecretSource {
        SecretSource { config, generation }
    }

    /// The secret; the error also if none has it.
    pub async fn get(&self, name: &str) -> Result<Secret, SecretTrouble> {
        match self.find(name).await? {
            Ok(secret) => Ok(secret),
            Err(why) => Err(SecretTrouble(why)),
        }
    }

    /// The secret, or who was asked in vain.
    pub async fn find(&self, name: &str) -> Result<Result<Secret, String>, SecretTrouble> {
        crate::config::check_secret_name(name).map_err(SecretTrouble)?;
        let mut asked = Vec::new();
        for provider in &self.config.secrets_providers {
            let shown = format!("{} ({})", provider.class, provider.place);
            match self.ask(provider, name).await {
                Ok(Ok(secret)) if secret.reveal().len() > LARGEST => {
                    return Err(SecretTrouble(format!("secret '{name}' of {shown}: it is larger than {} KiB", LARGEST >> 10)));
                }
                Ok(Ok(secret)) => {
                    veil::know(name, &secret);
                    return Ok(Ok(secret));
                }
                Ok(Err(why)) => asked.push(format!("{shown}: {why}")),
                Err(failure) => return Err(SecretTrouble(format!("secret '{name}' of {shown}: {failure}"))),
            }
        }
        Ok(Err(match asked.is_empty() {
            true => format!("there is no secret '{name}': c.secretsProviders is empty"),
            false => format!("no provider has the secret '{name}'; asked were {}", asked.join("; ")),
        }))
    }

    async fn ask(&self, provider: &SecretProviderSpec, name: &str) -> Answer {
        let folder = self.generation.folder();
        match &provider.kind {
            SecretProviderKind::File { dirname, suffixes, strip } => files::ask(&folder.join(dirname), suffixes, *strip, name).await,
            SecretProviderKind::Pass { passphrase, dirname } => {
                programs::ask_pass(folder, passphrase.as_ref(), dirname.as_deref(), name).await
            }
            SecretProviderKind::Command { command, timeout, strip } => programs::ask_command(folder, command, *timeout, *strip, name).await,
            SecretProviderKind::Environment { prefix } => environment(prefix, name),
            SecretProviderKind::Call(function) => match self.generation.secret(function, name).await {
                Ok(Some(secret)) => Ok(Ok(secret)),
                Ok(None) => Ok(Err("its get gave nil".into())),
                Err(failure) => Err(failure.to_string()),
            },
        }
    }
}

/// What the names of the master's variables begin with that are secrets: nothing that the master starts needs them. Of
/// variables without a common beginning that can't be told.
pub fn private_variables(config: &MasterConfig) -> Vec<String> {
    let prefix = |provider: &Arc<SecretProviderSpec>| match &provider.kind {
        SecretProviderKind::Environment { prefix } if !prefix.is_empty() => Some(prefix.clone()),
        _ => None,
    };
    config.secrets_providers.iter().filter_map(prefix).collect()
}

fn environment(prefix: &str, name: &str) -> Answer {
    if name.contains('=') {
        return Ok(Err("no variable's name holds '='".into()));
    }
    let variable = format!("{prefix}{name}");
    match std::env::var(&variable) {
        Ok(value) => Ok(Ok(Secret::new(value))),
        Err(std::env::VarError::NotPresent) => Ok(Err(format!("{variable} is not in the master's environment"))),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{variable} is not UTF-8")),
    }
}
