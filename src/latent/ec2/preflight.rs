//! Could an instance be started as a worker is configured? Asks only; nothing is started, made or changed.

use super::api::{ApiError, Class, Ec2Api};
use super::image;
use super::settings::Settings;
use crate::latent::backend::Finding;

/// Refusals of the keys themselves, whatever is asked with them.
const BAD_KEYS: [&str; 7] = [
    "AuthFailure",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "ExpiredToken",
    "RequestExpired",
    "InvalidAccessKeyId",
];

/// Everything that is wrong. Where no answer can be had at all, that alone.
pub async fn ask(settings: &Settings, api: &dyn Ec2Api) -> Vec<Finding> {
    let mut found = Findings { region: &settings.region, list: Vec::new() };
    match found.look(settings, api).await {
        Ok(()) => {}
        Err(Useless(why)) => found.list = vec![Finding::Wrong(why)],
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
    async fn look(&mut self, s: &Settings, api: &dyn Ec2Api) -> Result<(), Useless> {
        self.image(s, api).await?;
        if let Some(name) = &s.key_name
            && self.answer("key pairs", api.has_key_pair(name.clone()).await)? == Some(false)
        {
            self.wrong(no_key_pair(name, self.region));
        }
        // Its name has no meaning beside these.
        if let Some(name) = s.security_name.as_ref().filter(|_| s.security_group_ids.is_empty() && s.subnet_ids.is_empty())
            && self.answer("security groups", api.security_group(name.clone()).await)? == Some(None)
        {
            self.note(format!("there is no security group \"{name}\" in {}: the first launch makes it, with no open port", self.region));
        }
        for id in &s.security_group_ids {
            if self.answer("security groups", api.has_security_group(id.clone()).await)? == Some(false) {
                self.wrong(format!("there is no security group {id} in {}", self.region));
            }
        }
        for id in &s.subnet_ids {
            if self.answer("subnets", api.has_subnet(id.clone()).await)? == Some(false) {
                self.wrong(format!("there is no subnet {id} in {}", self.region));
            }
        }
        if let Some(address) = &s.elastic_ip
            && self.answer("addresses", api.has_address(address.clone()).await)? == Some(false)
        {
            self.wrong(format!("this account has no address {address} in {}", self.region));
        }
        Ok(())
    }

    async fn image(&mut self, s: &Settings, api: &dyn Ec2Api) -> Result<(), Useless> {
        if let Some(ami) = &s.ami {
            match self.answer("images", api.image(ami.clone()).await)? {
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
        if let Some(images) = self.answer("images", api.images(s.filters.owners.clone()).await)?
            && let Err(none) = image::choose(&images, &s.filters)
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
        match &error.code {
            None => Err(Useless(format!("region {} does not answer (is its name right?): {error}", self.region))),
            Some(code) if BAD_KEYS.iter().any(|bad| code.starts_with(bad)) => Err(Useless(format!("the keys are refused: {error}"))),
            // Keys that may start instances need not be allowed to look.
            Some(_) => {
                let may = if error.class() == Class::Permission { "these keys may not look at" } else { "there was no answer about" };
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
