//! Properties of a build: values that remember who set them.
//!
//! Precedence, low to high: configuration, change, build set, builder, worker, then what steps set. It follows from
//! the order in which they are applied; `default_properties` apply only where there is no value yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Property {
    pub value: Value,
    /// Who set it: `Force Build Form`, `Builder`, `Worker`, a step's name …
    pub source: String,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Properties(pub BTreeMap<String, Property>);

impl Properties {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|p| &p.value)
    }

    /// A property as text, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>, source: impl Into<String>) {
        self.0.insert(name.into(), Property { value: value.into(), source: source.into() });
    }

    /// All of `values`, over what is there.
    pub fn set_all(&mut self, values: &Map<String, Value>, source: &str) {
        for (name, value) in values {
            self.set(name, value.clone(), source);
        }
    }

    /// Those of `values` that have no value yet.
    pub fn set_missing(&mut self, values: &Map<String, Value>, source: &str) {
        for (name, value) in values {
            if !self.0.contains_key(name) {
                self.set(name, value.clone(), source);
            }
        }
    }

    pub fn update(&mut self, other: &Properties) {
        for (name, property) in &other.0 {
            self.0.insert(name.clone(), property.clone());
        }
    }

    /// `{name: [value, source]}`, as the API shows them.
    pub fn to_api(&self) -> Map<String, Value> {
        self.0.iter().map(|(name, p)| (name.clone(), Value::Array(vec![p.value.clone(), p.source.clone().into()]))).collect()
    }

    /// `{name: value}`.
    pub fn values(&self) -> Map<String, Value> {
        self.0.iter().map(|(name, p)| (name.clone(), p.value.clone())).collect()
    }
}
