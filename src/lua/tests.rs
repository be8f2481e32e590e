//! Small files in, configurations, mistakes and answers out. Each test is named after the rule of the language that it keeps.

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Folder(dir)
    }

    async fn load(&self) -> Result<Loaded, Vec<String>> {
        load(LoadOptions::new(self.0.path())).await.map_err(|all| all.iter().map(ToString::to_string).collect())
    }
}

async fn mistakes(text: &str) -> Vec<String> {
    Folder::new(&[("master.lua", text)]).load().await.unwrap_err()
}

#[tokio::test]
async fn smoke() {
    let f = Folder::new(&[("master.lua", "local c = BuildmasterConfig\nc.title = 'x'")]);
    f.load().await.unwrap();
    println!("{:?}", mistakes("local x = nil\nlocal function f() return x.y end\nlocal z = f()\n").await);
    println!("{:?}", mistakes("local x = = 1").await);
    println!("{:?}", mistakes("local x = utl.Foo{}\nutil.BuildFcatory{}\n").await);
}
