//! What is known of a build, a request or a build set when a message is made of it: plain data, read from the store once.

use std::sync::Arc;

use crate::base::{BuildId, BuilderId, BuildsetId, RequestId, Timestamp};
use crate::model::{Build, BuildRequest, Buildset, Log, Properties, Results, Step};
use crate::store::{BuildRecord, BuilderRow, Store, StoreError};

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
    /// Of the nearest build of that builder with a lower number that is complete and did not end as retry.
    pub previous: Option<Results>,
    /// Of its page.
    pub url: String,
}

impl BuildFacts {
    /// As it was when it started, whatever has become of it meanwhile.
    pub fn as_started(self) -> BuildFacts {
        let build = Build { complete_at: None, results: None, state: "starting".into(), ..self.build };
        BuildFacts { build, steps: Vec::new(), ..self }
    }
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

/// A request that waits, or left the queue without a build.
#[derive(Clone, PartialEq, Debug)]
pub struct RequestFacts {
    pub request: BuildRequest,
    pub builder: BuilderFacts,
    /// None: it waits or runs.
    pub results: Option<Results>,
    pub complete_at: Option<Timestamp>,
    pub url: String,
}

/// A build set whose requests have their results.
#[derive(Clone, PartialEq, Debug)]
pub struct SetFacts {
    pub buildset: Arc<Buildset>,
    pub external_idstring: Option<String>,
    pub results: Option<Results>,
    pub complete_at: Option<Timestamp>,
    /// The last one of each request, in the order of the requests; requests that never had one are left out.
    pub builds: Vec<BuildFacts>,
}

impl SetFacts {
    pub fn id(&self) -> BuildsetId {
        self.buildset.id
    }
}

/// The address of a build's page; `base` ends with a slash.
pub fn build_url(base: &str, builder: BuilderId, number: i64) -> String {
    format!("{base}#/builders/{builder}/builds/{number}")
}

pub fn request_url(base: &str, request: RequestId) -> String {
    format!("{base}#/buildrequests/{request}")
}

/// None: there is no such build. `base` is `buildbotURL`.
pub async fn build(store: &Store, id: BuildId, base: &str) -> Result<Option<BuildFacts>, StoreError> {
    Ok(store.build_record(id).await?.map(|record| build_facts(record, base)))
}

pub async fn request(store: &Store, id: RequestId, base: &str) -> Result<Option<RequestFacts>, StoreError> {
    let Some(record) = store.request_record(id).await? else { return Ok(None) };
    Ok(Some(RequestFacts {
        url: request_url(base, id),
        request: record.request,
        builder: builder_facts(record.builder),
        results: record.results,
        complete_at: record.complete_at,
    }))
}

pub async fn set(store: &Store, id: BuildsetId, base: &str) -> Result<Option<SetFacts>, StoreError> {
    let Some(record) = store.buildset_record(id).await? else { return Ok(None) };
    let mut builds = Vec::with_capacity(record.builds.len());
    for id in record.builds {
        builds.extend(build(store, id, base).await?);
    }
    let (buildset, external_idstring, results) = (record.buildset, record.external_idstring, record.results);
    Ok(Some(SetFacts { buildset, external_idstring, results, complete_at: record.complete_at, builds }))
}

fn build_facts(record: BuildRecord, base: &str) -> BuildFacts {
    BuildFacts {
        url: build_url(base, record.build.builder, record.build.number),
        build: record.build,
        request: record.request,
        builder: builder_facts(record.builder),
        worker: record.worker,
        properties: record.properties,
        steps: record.steps.into_iter().map(|s| StepFacts { step: s.step, logs: s.logs, urls: s.urls }).collect(),
        previous: record.previous,
    }
}

fn builder_facts(row: BuilderRow) -> BuilderFacts {
    BuilderFacts { name: row.name.into(), description: row.description, tags: row.tags, project: String::new() }
}
