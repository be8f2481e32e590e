//! Small files in, values, mistakes and answers out. Each test of the language is named after the rule that it keeps.

mod backends;
mod calls;
mod editor;
mod language;
mod rules;
mod slips;
mod steps;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::load::load_with;
use super::*;
use crate::config::{FnRef, MasterConfig, Mistake, Object, Table, Value};

/// A configuration's folder.
struct Folder(tempfile::TempDir);

/// What a file left, with whatever the classes think of it left out.
struct Seen {
    loaded: Loaded,
    root: Table,
    objects: Vec<Arc<Object>>,
}

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        // Others may not look into it: passwords stand there.
        let dir = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Folder(dir)
    }

    fn options(&self) -> LoadOptions {
        LoadOptions::new(self.0.path())
    }

    async fn see(&self) -> Result<Seen, Vec<Mistake>> {
        self.see_with(self.options(), MasterConfig::default()).await
    }

    async fn see_with(&self, options: LoadOptions, config: MasterConfig) -> Result<Seen, Vec<Mistake>> {
        let seen = Arc::new(Mutex::new(None));
        let keep = seen.clone();
        let loaded = load_with(
            options,
            Box::new(move |root, _, objects, _| {
                *keep.lock().unwrap() = Some((root.clone(), objects.to_vec()));
                Ok(config)
            }),
        )
        .await?;
        let (root, objects) = seen.lock().unwrap().take().unwrap();
        Ok(Seen { loaded, root, objects })
    }

    async fn mistakes(&self) -> Vec<String> {
        let told = self.see().await.map(|_| ());
        told.expect_err("the file has no mistake").iter().map(ToString::to_string).collect()
    }
}

impl Seen {
    fn object(&self, class: &str) -> &Object {
        self.objects.iter().find(|o| o.class == class).unwrap()
    }

    fn get(&self, name: &str) -> &Value {
        self.root.named.get(name).unwrap_or(&Value::None)
    }

    fn function(&self, name: &str) -> &FnRef {
        match self.get(name) {
            Value::Function(f) => f,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.loaded.config.warnings.iter().map(ToString::to_string).collect()
    }
}

async fn see(text: &str) -> Seen {
    Folder::new(&[("master.lua", text)]).see().await.unwrap()
}

async fn mistakes(text: &str) -> Vec<String> {
    Folder::new(&[("master.lua", text)]).mistakes().await
}

/// Everything that is said of a file, with what the classes think of it.
async fn whole(text: &str) -> Vec<String> {
    let folder = Folder::new(&[("master.lua", text)]);
    load(folder.options()).await.map(|_| ()).unwrap_err().iter().map(ToString::to_string).collect()
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn texts(values: &[&str]) -> Vec<Value> {
    values.iter().map(|v| text(v)).collect()
}

async fn eventually(what: impl Fn() -> bool) -> bool {
    for _ in 0..500 {
        if what() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
