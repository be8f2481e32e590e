//! Could an instance be started as a worker is configured? Asks only; nothing is started, made or changed.

use super::api::{ApiError, Class, NO_KEYS};
use super::image;
use super::region::{Needed, Region};
use super::settings::Settings;
use crate::latent::backend::Finding;

/// Everything that is wrong. Where no answer can be had at all, that alone.
pub async fn ask(settings: &Settings, region: &Region) -> Vec<Finding> {
    let mut found = Findings { region: &settings.region, list: Vec::new() };
    match found.look(settings, region).await {
        Ok(()) => {}
        Err(Useless(why)) => found.list = vec![Finding::Wrong(why)],
    }
    if found.list.iter().any(|finding| matches!(finding, Finding::Wrong(_))) {
        region.forget();
    }
    found.list
}

/// No further question has an answer.
struct Useless(String);

struct Findings<'a> {
    region: &'a str,
    list: Vec<Finding>,
}

impl Findings<'_> {
    async fn look(&mut self, s: &Settings, region: &Region) -> Result<(), Useless> {
        self.image(s, region).await?;
        if let Some(name) = &s.key_name
            && self.answer("key pairs", region.has(Needed::KeyPair(name.clone())).await)? == Some(false)
        {
            self.wrong(no_key_pair(name, self.region));
        }
        // Its name has no meaning beside these.
        if let Some(name) = s.security_name.as_ref().filter(|_| s.security_group_ids.is_empty() && s.subnet_ids.is_empty())
            && self.answer("security groups", region.has(Needed::GroupNamed(name.clone())).await)? == Some(false)
        {
            self.note(format!("there is no security group \"{name}\" in {}: the first launch makes it, with no open port", self.region));
        }
        for id in &s.security_group_ids {
            if self.answer("security groups", region.has(Needed::Group(id.clone())).await)? == Some(false) {
                self.wrong(format!("there is no security group {id} in {}", self.region));
            }
        }
        for id in &s.subnet_ids {
            if self.answer("subnets", region.has(Needed::Subnet(id.clone())).await)? == Some(false) {
                self.wrong(format!("there is no subnet {id} in {}", self.region));
            }
        }
        if let Some(address) = &s.elastic_ip
            && self.answer("addresses", region.has(Needed::Address(address.clone())).await)? == Some(false)
        {
            self.wrong(format!("this account has no address {address} in {}", self.region));
        }
        Ok(())
    }

    async fn image(&mut self, s: &Settings, region: &Region) -> Result<(), Useless> {
        if let Some(ami) = &s.ami {
            match self.answer("images", region.image(ami).await)? {
                Some(None) => self.wrong(format!("there is no image {ami} in {} that these keys may use", self.region)),
                Some(Some(image)) if image.state != "available" => self.wrong(format!("the image {ami} is {}, not available", image.state)),
                _ => {}
            }
            return Ok(());
        }
        // It differs from build to build: without a filter every image there is would be listed.
        if s.filters.owners.is_empty() && s.filters.location.is_none() {
            return Ok(());
        }
        if let Some(images) = self.answer("images", region.images(&s.filters.owners).await)?
            && let Err(none) = image::choose(images.iter(), &s.filters)
        {
            self.wrong(none.to_string());
        }
        Ok(())
    }

    /// None: it is not known, and that is noted.
    fn answer<T>(&mut self, what: &str, answer: Result<T, ApiError>) -> Result<Option<T>, Useless> {
        let error = match answer {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        match (&error.code, error.class()) {
            (None, _) => Err(Useless(format!("region {} does not answer (is its name right?): {error}", self.region))),
            (Some(code), Class::Keys) if code == NO_KEYS => Err(Useless(error.message)),
            (Some(_), Class::Keys) => Err(Useless(format!("the keys are refused: {error}"))),
            // Keys that may start instances need not be allowed to look.
            (Some(_), class) => {
                let may = if class == Class::Permission { "these keys may not look at" } else { "there was no answer about" };
                self.note(format!("not checked, since {may} {what}: {error}"));
                Ok(None)
            }
        }
    }

    fn wrong(&mut self, text: String) {
        self.list.push(Finding::Wrong(text));
    }

    fn note(&mut self, text: String) {
        self.list.push(Finding::Note(text));
    }
}

pub(super) fn no_key_pair(name: &str, region: &str) -> String {
    format!("there is no key pair \"{name}\" in {region}: import it, name another with 'keypair_name', or say keypair_name = None")
}
