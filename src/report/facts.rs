//! What is known of a build when a message is made of it: plain data, read from the store once.

use std::sync::Arc;

use crate::model::{Build, BuildRequest, Log, Properties, Results, Step};

#[derive(Clone, PartialEq, Debug)]
pub struct BuildFacts {
    pub build: Build,
    /// Its build set and source stamps are in it.
    pub request: BuildRequest,
    pub builder: BuilderFacts,
    pub worker: Option<String>,
    /// Of the whole build, those of the source stamps among them.
    pub properties: Properties,
    /// In their order, hidden ones too.
    pub steps: Vec<StepFacts>,
    /// Of the nearest build of that builder with a lower number that did not end as retry.
    pub previous: Option<Results>,
    /// Of its page.
    pub url: String,
}

#[derive(Clone, PartialEq, Debug)]
pub struct BuilderFacts {
    pub name: Arc<str>,
    pub description: Option<String>,
    pub tags: Vec<String>,
    pub project: String,
}

#[derive(Clone, PartialEq, Debug)]
pub struct StepFacts {
    pub step: Step,
    pub logs: Vec<Log>,
    /// Name and address, as the step gave them.
    pub urls: Vec<(String, String)>,
}
