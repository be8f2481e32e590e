//! Named values of one table, in the order of their names: a sorted list, since a configuration holds tens of thousands of tables with a
//! few names each, and a tree takes a kilobyte for the first of them.

use std::collections::BTreeMap;

use super::value::Value;

/// Names and values; behaves as a map that is ordered by name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Named(Vec<(String, Value)>);

impl Named {
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.find(name).ok().map(|at| &self.0[at].1)
    }

    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    pub fn insert(&mut self, name: String, value: Value) -> Option<Value> {
        match self.find(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.find(name).ok().map(|at| self.0.remove(at).1)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&String, &mut Value) -> bool) {
        self.0.retain_mut(|(name, value)| keep(name, value));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&String, &Value)> + Clone {
        self.0.iter().map(|(name, value)| (name, value))
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &String> + Clone {
        self.0.iter().map(|(name, _)| name)
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> + Clone {
        self.0.iter().map(|(_, value)| value)
    }
}

impl From<BTreeMap<String, Value>> for Named {
    fn from(map: BTreeMap<String, Value>) -> Named {
        Named(map.into_iter().collect())
    }
}

impl FromIterator<(String, Value)> for Named {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(items: I) -> Named {
        BTreeMap::from_iter(items).into()
    }
}

impl Extend<(String, Value)> for Named {
    fn extend<I: IntoIterator<Item = (String, Value)>>(&mut self, items: I) {
        let all: BTreeMap<String, Value> = std::mem::take(&mut self.0).into_iter().chain(items).collect();
        *self = all.into();
    }
}

impl IntoIterator for Named {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl std::ops::Index<&str> for Named {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((any::<bool>(), "[a-d]{1,2}", 0i64..100), 0..60)) {
            let (mut map, mut named) = (BTreeMap::new(), Named::default());
            for (adds, name, number) in steps {
                if adds {
                    prop_assert_eq!(map.insert(name.clone(), Value::Int(number)), named.insert(name.clone(), Value::Int(number)));
                } else {
                    prop_assert_eq!(map.remove(&name), named.remove(&name));
                }
                prop_assert_eq!(map.get(&name), named.get(&name));
                prop_assert!(map.iter().eq(named.iter()));
            }
            prop_assert_eq!(Named::from(map), named);
        }
    }
}
