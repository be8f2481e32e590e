//! `fs`, the formats, and settings.

use super::*;

/// What a file told when it was evaluated, by `assert` or an error.
async fn told(folder: &Folder) -> String {
    folder.mistakes().await.join("\n")
}

#[tokio::test]
async fn rule_22_fs_reads_and_changes_files_of_the_folder() {
    let folder = Folder::new(&[(
        "master.lua",
        r#"
        fs.write("a.txt", "one") fs.append("a.txt", "two")
        assert(fs.read("a.txt") == "onetwo" and fs.exists("a.txt") and fs.is_file("a.txt") and not fs.is_dir("a.txt"))
        fs.mkdir("d/e", { mode = "0700" }) fs.mkdir("d/e")
        assert(fs.is_dir("d/e") and fs.stat("d/e").mode == 448 and fs.stat("d/e").type == "folder")
        fs.write("d/x.sh", "\0\255", { mode = "0755" }) fs.write("d/x.sh", "more")
        assert(fs.stat("d/x.sh").mode == 493 and fs.stat("d/x.sh").size == 4 and fs.stat("none") == nil)
        fs.copy("d/x.sh", "d/e") fs.copy("d/x.sh", "d/y.sh") fs.rename("d/y.sh", "d/z.sh")
        assert(fs.stat("d/e/x.sh").mode == 493 and fs.read("d/z.sh") == "more" and not fs.exists("d/y.sh"))
        assert(table.concat(fs.glob("**/*.sh"), " ") == "d/e/x.sh d/x.sh d/z.sh" and table.concat(fs.list("d"), " ") == "e x.sh z.sh")
        assert(fs.remove("a.txt") and not fs.remove("a.txt") and path.basename(fs.realpath("d")) == "d")
        assert(fs.remove("d", { recursive = true }) and not fs.exists("d"))
        fs.write("data.bin", "\0\255")
        assert(fs.read("data.bin") == "\0\255")
    "#,
    )]);
    folder.see().await.unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing temporary is left: {left:?}");
}

#[tokio::test]
async fn rule_22_fs_says_what_and_where() {
    for (call, expected) in [
        ("fs.read('none')", "fs.read(\"none\"): No such file"),
        ("fs.read('/dev/zero')", "is not a plain file"),
        ("fs.read()", ""),
        ("fs.write('/dev/null', 'x')", "fs.write(\"/dev/null\"): is not a plain file"),
        ("fs.write('no/such', 'x')", "fs.write(\"no/such\"): No such file"),
        ("fs.write('x', 'y', { mode = 'rw' })", "'mode' must be a number or text such as \"0644\""),
        ("fs.remove('.', { recursive = true })", "the configuration's own folder or one above it"),
        ("fs.remove('/', { recursive = true })", "the configuration's own folder or one above it"),
        ("fs.remove('full')", "the folder is not empty (write { recursive = true })"),
        ("fs.list('master.lua')", "fs.list(\"master.lua\"): Not a directory"),
        ("fs.glob('[')", "fs.glob(\"[\"): "),
        ("fs.copy('full', 'x')", "is not a plain file"),
    ] {
        let folder = Folder::new(&[("full/x", ""), ("master.lua", &format!("local x = 1\n{call}"))]);
        let told = told(&folder).await;
        assert!(told.starts_with("master.lua:2: ") && told.contains(expected), "{call}: {told}");
    }
    let folder = Folder::new(&[("master.lua", "fs.read('big')")]);
    std::fs::File::create(folder.0.path().join("big")).unwrap().set_len(17 << 20).unwrap();
    assert!(told(&folder).await.contains("is larger than 16 MiB"));
}

#[tokio::test]
async fn rule_26_writes_are_only_told_while_checking() {
    let folder = Folder::new(&[
        ("keep", "old"),
        (
            "master.lua",
            r#"
            assert(buildmoon.checking)
            fs.write("keep", "new") fs.append("keep", "new") fs.write("other", "") fs.mkdir("d") fs.copy("keep", "copy")
            fs.rename("keep", "moved") fs.remove("keep")
            assert(process.run({ "cat", "keep" }).stdout == "old")
        "#,
        ),
    ]);
    let mut options = folder.options();
    options.checking = true;
    folder.see_with(options, MasterConfig::default()).await.unwrap();
    let left = std::fs::read_dir(folder.0.path()).unwrap().count();
    assert_eq!((std::fs::read_to_string(folder.0.path().join("keep")).unwrap().as_str(), left), ("old", 2));
}

#[tokio::test]
async fn rule_22_fs_waits_in_a_callback_and_answers_at_once_while_loading() {
    let folder = Folder::new(&[
        (
            "master.lua",
            r#"
        local names = { "b", "a" }
        fs.write("a", "1") fs.write("b", "2")
        table.sort(names, function(x, y) return fs.read(x) < fs.read(y) end)
        assert(names[1] == "a")
        return {
          read = function() fs.write("c", fs.read("a") .. "!") return fs.read("c") .. json.load_file("n.json").x end,
          sorted = function() table.sort({ 1, 2 }, function() return fs.exists("a") end) end,
          gone = function() return fs.read("gone") end,
        }
    "#,
        ),
        ("n.json", "{\"x\": 5}"),
    ]);
    let seen = folder.see().await.unwrap();
    let ask = async |name: &str| seen.loaded.generation.render(seen.function(name), &RenderInput::default()).await;
    assert_eq!(ask("read").await.unwrap(), text("1!5"));
    let told = ask("sorted").await.unwrap_err().to_string();
    assert!(told.contains("master.lua:8: ") && told.contains("waits can't be used here (inside table.sort"), "{told}");
    let told = ask("gone").await.unwrap_err().to_string();
    assert!(told.starts_with("master.lua:9: renderer: fs.read(\"gone\"): No such file"), "{told}");
    assert_eq!(seen.loaded.files.len(), 3, "what a callback reads is no part of the configuration: {:?}", seen.loaded.files);
}

#[tokio::test]
async fn rule_24_every_format_is_read_and_written() {
    let folder = Folder::new(&[
        (
            "a.yaml",
            "base: &base { x: 1, tags: [a, b] }\nderived:\n  <<: *base\n  y: 2.5\nflag: yes\nday: 2024-01-31\nnothing: ~\n8010: port\nbig: 99999999999999999999\nlong: |\n  one\n  two\n",
        ),
        ("a.toml", "n = 5\nday = 2024-01-31\n[t]\nx = [1, 2.5]\n[[w]]\nname = 'a'\n"),
        ("a.ini", "[DEFAULT]\nPort=1\n[Web]\nHost: h\n"),
        ("a.json", "{\"n\": [1, null]}"),
        (
            "master.lua",
            r#"
            local y = yaml.load_file("a.yaml")
            assert(y.derived.x == 1 and y.derived.y == 2.5 and #y.derived.tags == 2 and y.flag == "yes" and y.day == "2024-01-31")
            assert(math.type(y.derived.x) == "integer" and y.nothing == nil and y[8010] == "port" and math.type(y.big) == "float")
            assert(y.long == "one\ntwo\n" and yaml.load_file("a.yaml", { null = None }).nothing == None)
            local t = toml.load_file("a.toml")
            assert(t.n == 5 and t.day == "2024-01-31" and t.t.x[2] == 2.5 and t.w[1].name == "a")
            local i = ini.load_file("a.ini")
            assert(i.Web.host == "h" and i.Web.port == "1")
            local value = { name = "x: y", yes = "yes", no = "true", n = 3, list = { "1", 2, { a = true } }, empty = {}, text = "a\nb" }
            local function same(a, b) return json.encode(a) == json.encode(b) end
            assert(same(yaml.decode(yaml.encode(value)), value), yaml.encode(value))
            assert(same(toml.decode(toml.encode(value)), value), toml.encode(value))
            assert(same(ini.decode(ini.encode{ s = { a = "1\n2", b = 2 } }), { s = { a = "1\n2", b = "2" } }))
            local all = yaml.decode_all("a: 1\n---\nb: 2\n")
            assert(#all == 2 and all[2].b == 2)
        "#,
        ),
    ]);
    let seen = folder.see().await.unwrap();
    assert_eq!(seen.loaded.files.len(), 4, "{:?}", seen.loaded.files);
    for (call, expected) in [
        ("yaml.decode('a: 1\\n---\\nb: 2')", "master.lua:1: yaml.decode: 2 documents in one text: use yaml.decode_all"),
        ("yaml.decode('a: 1\\na: 2')", "line 2"),
        ("yaml.decode('[1, 2')", "yaml.decode: "),
        ("yaml.encode(print)", "yaml.encode: a function is no"),
        ("toml.encode({ 1 })", "toml.encode: needs a table with names"),
        ("toml.decode('x = = 1')", "toml.decode: line 1: "),
        ("ini.encode({ a = 1 })", "section \"a\" must be a table with names"),
        ("yaml.decode('{ ? [a] : 1 }')", "can't be a key"),
        ("yaml.load_file('none.yaml')", "master.lua:1: yaml.load_file(\"none.yaml\"): No such file"),
    ] {
        let told = mistakes(call).await.join("\n");
        assert!(told.starts_with("master.lua:1: ") && told.contains(expected), "{call}: {told}");
    }
}

#[tokio::test]
async fn rule_24_settings_have_defaults_and_paths() {
    let folder = Folder::new(&[
        ("s.yaml", "workers:\n  x: { password: pw, max: 2 }\nlist: [a, { b: 5 }]\nempty:\n1: one\n"),
        ("s.toml", "[workers.x]\npassword = 'pw'\n"),
        ("s.ini", "[workers]\nx = 1\n"),
        ("s.json", "{\"workers\": {\"x\": {\"password\": \"pw\"}}}"),
        (
            "master.lua",
            r#"
            local defaults = { workers = { x = { max = 1, min = 0 }, y = { max = 3 } }, list = { 1, 2, 3 }, empty = "e", port = 8010 }
            local s = config.load("s.yaml", { defaults = defaults })
            assert(s.workers.x.password == "pw" and s.workers.x.max == 2 and s.workers.x.min == 0 and s.workers.y.max == 3)
            assert(#s.list == 2 and s.empty == "e" and s.port == 8010 and s.missing == nil)
            assert(s:path("workers.x.password") == "pw" and s:path("workers.z.password", "d") == "d" and s:path("workers.z.password") == nil)
            assert(s:path("list.2.b") == 5 and s:path({ "workers", "x", "max" }) == 2 and s:path("list.1.b.c", 7) == 7 and s:path("1") == "one")
            assert(defaults.workers.x.password == nil and defaults.workers.x.max == 1)
            s.workers.y.max = 9
            assert(defaults.workers.y.max == 3)
            for _, name in ipairs{ "s.toml", "s.json" } do assert(config.load(name):path("workers.x.password") == "pw") end
            assert(config.load("s.ini").workers.x == "1")
            assert(config.load("none.yaml", { optional = true, defaults = { a = 1 } }).a == 1)
            local names = {}
            for name in dict.sorted_pairs(config.load("s.json")) do names[#names + 1] = name end
            assert(table.concat(names) == "workers")
            return { properties = s.workers }
        "#,
        ),
    ]);
    let seen = folder.see().await.unwrap();
    assert_eq!(seen.loaded.files.len(), 5, "{:?}", seen.loaded.files);
    assert!(matches!(seen.get("properties"), Value::Table(t) if t.named.len() == 2), "a part of the settings is plain data");
    for (file, call, expected) in [
        ("a: 1", "config.load('none.yaml')", "master.lua:1: config.load(\"none.yaml\"): No such file"),
        ("a: 1", "config.load('s')", "the name must end in .yaml"),
        ("- a", "config.load('s.yaml')", "config.load: the file must hold names and values"),
        ("a: [hunter2\nb: }", "config.load('s.yaml')", "master.lua:1: config.load(\"s.yaml\"): "),
        ("a: 1", "config.load('s.yaml', { defaults = 5 })", "'defaults' must be a table, got 5"),
    ] {
        let folder = Folder::new(&[("s.yaml", file), ("master.lua", call)]);
        let told = told(&folder).await;
        assert!(told.contains(expected) && !told.contains("hunter2"), "{call}: {told}");
    }
}
