//! Rules 18 and 20 to 22: the library that asks neither disk nor network.

use super::*;

/// The file's whole set of assertions holds.
async fn holds(source: &str) {
    see(source).await;
}

#[tokio::test]
async fn rule_18_all_of_luas_own_that_is_kept_is_there() {
    holds(
        r#"
        for _, name in ipairs{ "string", "table", "math", "utf8", "assert", "error", "pcall", "xpcall", "select", "type", "tostring",
          "tonumber", "ipairs", "pairs", "next", "setmetatable", "getmetatable", "rawget", "rawset", "rawequal", "rawlen", "print" } do
          assert(rawget(_G, name) ~= nil, name)
        end
        for _, name in ipairs{ "time", "date", "clock", "getenv" } do assert(type(os[name]) == "function", name) end
        for _, name in ipairs{ "io", "load", "loadstring", "loadfile", "dofile", "debug", "coroutine", "package", "collectgarbage" } do
          assert(rawget(_G, name) == nil, name)
        end
    "#,
    )
    .await;
    for (name, instead) in [
        ("dofile", "require"),
        ("loadstring", "require"),
        ("debug", "traceback"),
        ("re", "use regex"),
        ("os.exit", "error"),
        ("os.remove", "fs.remove"),
    ] {
        let told = mistakes(&format!("\nlocal x = {name}")).await;
        assert!(told[0].starts_with("master.lua:2: ") && told[0].contains(instead), "{told:?}");
    }
}

#[tokio::test]
async fn rule_18_pcall_works_around_calls_that_wait() {
    let seen = see(r#"return { f = function()
        local ok, value = pcall(function() sleep(0.01) return "waited" end)
        local failed, why = pcall(function() sleep(0.01) error("after", 0) end)
        local handled, what = xpcall(function() sleep(0.01) regex.compile("(") end, function(e) return "handled " .. e end)
        assert(ok and not failed and not handled)
        return { value, why, what }
    end }"#)
    .await;
    let Value::Table(answer) = seen.loaded.generation.render(seen.function("f"), &RenderInput::default()).await.unwrap() else { panic!() };
    assert_eq!(answer.items, texts(&["waited", "after", "handled regex.compile: \"(\" is no regular expression: unclosed group"]));
}

#[tokio::test]
async fn rule_18_pcall_cannot_catch_the_end_of_a_deadline() {
    let limits = crate::config::LuaLimits { callback_timeout: Some(Duration::from_millis(300)), ..Default::default() };
    let folder =
        Folder::new(&[("master.lua", "return { f = function() pcall(sleep, 1000) return 'caught' end, g = function() return 1 end }")]);
    let seen = folder.see_with(folder.options(), MasterConfig { limits, ..Default::default() }).await.unwrap();
    let ended = seen.loaded.generation.render(seen.function("f"), &RenderInput::default()).await.unwrap_err();
    assert!(ended.message.contains("its budget of 300 ms"), "{ended}");
    assert_eq!(seen.loaded.generation.render(seen.function("g"), &RenderInput::default()).await.unwrap(), Value::Int(1));
}

#[tokio::test]
async fn rule_18_a_caught_error_of_the_host_is_text() {
    holds(
        r#"
        local ok, why = pcall(json.decode, "{")
        assert(not ok and type(why) == "string" and why:find("^json.decode: ") and not why:find("traceback"), why)
        local _, thrown = pcall(error, { code = 5 })
        assert(thrown.code == 5 and select('#', pcall(function() end)) == 1)
    "#,
    )
    .await;
}

#[tokio::test]
async fn rule_20_lists_dicts_texts_and_paths() {
    holds(
        r#"
        local words = list.sorted({ "ccc", "a", "bb", "dd" }, function(s) return -#s end)
        assert(table.concat(words, " ") == "ccc bb dd a")
        local own = { 1, 2 }
        assert(#list.extend(own, own) == 4 and list.set{ "a" }.a and list.map({ 2, 3 }, function(x) return x * x end)[2] == 9)
        assert(#list.filter({ 1, 2, 3 }, function(x) return x > 1 end) == 2 and list.any{ false, 1 } and list.all{})
        local pairs_sorted = list.sorted({ "b2", "a9", "a1", "a" }, function(s) return { s:sub(1, 1), tonumber(s:sub(2)) } end)
        assert(table.concat(pairs_sorted, " ") == "a a1 a9 b2")
        assert(list.sorted({ 2, 1 }, function(x) sleep(0) return x end)[1] == 1)
        local order = {}
        for k, v in dict.sorted_pairs{ b = 2, a = 1, [10] = 3, [9] = 4 } do order[#order + 1] = tostring(k) .. v end
        assert(table.concat(order, " ") == "94 103 a1 b2")
        assert(dict.items{ b = 1, a = 2 }[1][1] == "a" and dict.values{ b = 1, a = 2 }[1] == 2)
        local t = { x = { 1 } }
        t.own = t
        local copied, shallow = dict.deepcopy(t), dict.copy(t)
        assert(copied.own == copied and copied.x ~= t.x and copied.x[1] == 1 and shallow.x == t.x)
        assert(text.repr(t) == "{ own = {…}, x = { 1 } }", text.repr(t))
        assert(text.repr{ ["a-b"] = 0.1, ["end"] = 3.0, [7] = "\n\0\"\\" } == [[{ ["a-b"] = 0.1, ["end"] = 3.0, [7] = "\n\x00\"\\" }]])
        assert(text.strip(" \t") == "" and text.strip("\n a  b \n") == "a  b" and text.format("x") == "x")
        assert(path.join("a", "/b", "c/", "d") == "/b/c/d" and path.join("", "x") == "x" and path.dirname("x") == "" and path.basename("a/") == "")
        assert(require("buildmoon.list") == list)
        for _, x in ipairs{ 0, "", 0.0, false, {} } do assert(not truthy(x)) end
        for _, x in ipairs{ 1, "x", { 1 }, true } do assert(truthy(x)) end
    "#,
    )
    .await;
}

#[tokio::test]
async fn rule_20_a_wrong_argument_names_the_function_and_the_callers_line() {
    for (call, told) in [
        ("list.concat({}, 5)", "list.concat: 'argument 2' must be a list, got 5"),
        ("list.map({})", "list.map: 'f' must be a function, got nil"),
        ("list.contains('x', 1)", "list.contains: 'items' must be a list, got \"x\""),
        ("list.sorted{ 1, 'a' }", "list.sorted: 1 and \"a\" have no common order: items 1 and 2"),
        (
            "list.sorted({ 1, 2 }, function(x) return { 'x', x == 1 and 1 or 'y' } end)",
            "list.sorted: 1 and \"y\" have no common order: items 1 and 2",
        ),
        ("list.sorted{ {} }", "list.sorted: a table has no order: item 1, and no key is given"),
        ("dict.merge({}, 'x')", "dict.merge: 'argument 2' must be a table, got \"x\""),
        ("dict.sorted_pairs(None)", "dict.sorted_pairs: 't' must be a table, got None"),
        ("text.split(nil)", "text.split: 's' must be text, got nil"),
        ("text.split('a', '')", "text.split: the separator is empty"),
        ("text.format('{a}', {})", "text.format: there is no value for {a}"),
        ("path.join('a', 1)", "path.join: 'argument 2' must be text, got 1"),
        ("regex.search('a', 5)", "regex.search: 'subject' must be text, got 5"),
        ("regex.search('(', 'x')", "regex.search: \"(\" is no regular expression: unclosed group"),
        ("regex.replace('a', [[\\2]], 'a')", "regex.replace: the replacement names the group '2', which the pattern does not have"),
        ("regex.replace('a', function() end, 'a')", "regex.replace: the function must return text, got nil"),
        ("regex.compile('a').search('x')", "regex.search is a method: call it with a colon, pattern:search(…)"),
        ("random.hex(0)", "random.hex: 'n' is a number of bytes from 1 to 1048576, got 0"),
        ("hash.sha256('x', { row = true })", "hash.sha256: there is no option \"row\"; there is raw"),
        ("time.format(0, '%Y', { tz = 'Europe/Berln' })", "time.format: there is no time zone \"Europe/Berln\""),
        ("time.date{ at = 1e300 }", "time.date: 'at' is out of the range of dates: 1"),
        ("url.parse('x')", "url.parse: \"x\" is no URL: relative URL without a base"),
        ("util.Properties{ 1 }", "Properties: a name must be text, got 1"),
    ] {
        let all = mistakes(&format!("local function f()\n  local x = {call}\n  return x\nend\nf()")).await;
        let expected = format!("master.lua:2: {told}");
        assert!(all[0].starts_with(&expected), "{call}: {all:?}");
    }
}

#[tokio::test]
async fn rule_21_regular_expressions() {
    holds(
        r#"
        local m = regex.search([[(?P<key>\w+)=(\d+)?]], "  ab=12")
        assert(m[0] == "ab=12" and m[1] == "ab" and m.key == "ab" and m[2] == "12" and m.first == 3 and m.last == 7)
        assert(("  ab=12"):sub(m.first, m.last) == m[0])
        assert(regex.search("(a)|(b)", "b")[1] == nil)
        assert(regex.match("b", "ab") == nil and regex.match("a", "ab").last == 1)
        assert(regex.fullmatch("a|ab", "ab")[0] == "ab" and regex.fullmatch("a", "ab") == nil)
        assert(#regex.find_all("a", "banana") == 3 and regex.find_all("A", "banana", "i")[2].first == 4)
        assert(regex.search("^b.c$", "a\nb\nc", "ms") and not regex.search("^b.c$", "a\nb\nc", "m"))
        assert(regex.search("a b # both", "ab", "x")[0] == "ab")
        assert(regex.replace([[(\w)(?P<n>\d)]], [[\g<n>\1]], "a1 b2") == "1a 2b")
        assert(regex.replace("a", "b", "aaa", 2) == "bba" and select(2, regex.replace("a", "b", "aaa")) == 3)
        assert(regex.replace([[\d+]], function(m) sleep(0) return "<" .. m[0] .. ">" end, "1, 23") == "<1>, <23>")
        assert(table.concat(regex.split([[\s*,\s*]], "a , b,c"), "|") == "a|b|c")
        assert(table.concat(regex.split("(-)", "a-b"), "|") == "a|-|b" and #regex.split(",", "a,b,c", 1) == 2)
        assert(regex.escape("a.b") == [[a\.b]] and regex.search(regex.escape("1+1"), "1+1"))
        local p = regex.compile("(?P<first>x)Y", "i")
        assert(p:search("axy").first == "x" and p:match("axy") == nil and p:fullmatch("Xy") and #p:find_all("xyxy") == 2)
        assert(p:replace("-", "axya") == "a-a" and #p:split("axya") == 3 and regex.search(p, "xy") and tostring(p) == "Pattern (?P<first>x)Y")
        assert(regex.search("(?<=a)b", "ab").first == 2 and regex.search([[(a)\1]], "baa").first == 2 and not regex.search("a(?!b)", "ab"))
        assert(regex.search([[(?P<q>['"]).*?(?P=q)]], [[x 'y"' z]])[0] == [['y"']])
        assert(regex.search("b", "\xff\xfeb").first == 3 and regex.search("ü", "aü").last == 3)
        assert(not pcall(function() p.x = 1 end))
        for i = 1, 500 do assert(regex.search("a{" .. i .. "}", ("a"):rep(i))) end
    "#,
    )
    .await;
    let seen = see("return { p = regex.compile('a', 'i') }").await;
    assert_eq!(seen.get("p"), &text("(?i)a"));
}

#[tokio::test]
async fn rule_21_backtracking_has_a_limit_that_says_so() {
    let all = mistakes("local m = regex.search('^(?:(a)|(a)|\\\\1)*!d', ('a'):rep(100) .. '!c!d')").await;
    assert_eq!(all, ["master.lua:1: regex.search: gave up after 1000000 steps of backtracking"]);
    let bytes = mistakes("local m = regex.search('(?=a)', '\\xff')").await;
    assert!(bytes[0].contains("regex.search: the subject is not UTF-8"), "{bytes:?}");
}

#[tokio::test]
async fn rule_22_time_in_zones() {
    holds(
        r#"
        local d = time.date{ at = 1700000000, tz = "Europe/Berlin" }
        assert(d.year == 2023 and d.month == 11 and d.day == 14 and d.hour == 23 and d.min == 13 and d.sec == 20)
        assert(d.weekday == 1 and d.yday == 318 and d.offset == 3600 and d.zone == "CET")
        assert(time.date{ at = 0, tz = "+05:30" }.hour == 5 and time.date().year > 2000)
        for _, s in ipairs{ "2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", "2023-11-14 23:13:20+01:00", "Tue, 14 Nov 2023 22:13:20 +0000",
          "Tue, 14 Nov 2023 22:13:20 GMT", "Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023" } do
          assert(time.parse(s) == 1700000000, s)
        end
        assert(time.parse("2023-11-14 23:13:20", { tz = "Europe/Berlin" }) == 1700000000)
        assert(time.parse("2023-11-14", { tz = "UTC" }) == 1699920000 and math.type(time.parse("2023-11-14", { tz = "UTC" })) == "integer")
        assert(time.parse("14.11.2023", { format = "%d.%m.%Y", tz = "UTC" }) == 1699920000)
        assert(time.parse("1700000000", { format = "%s" }) == 1700000000)
        assert(time.parse("1970-01-01T00:00:00.5Z") == 0.5)
        assert(time.format(1700000000, "%Y-%m-%d %H:%M:%S %z", { tz = "America/New_York" }) == "2023-11-14 17:13:20 -0500")
        assert(not pcall(time.parse, "yesterday") and not pcall(time.format, 0, "%!") and not pcall(time.format, nil, "%Y"))
    "#,
    )
    .await;
}

#[tokio::test]
async fn rule_22_random_urls_hashes_and_base64() {
    holds(
        r#"
        assert(#random.hex(8) == 16 and #random.token_urlsafe() == 43 and random.hex() ~= random.hex())
        for _ = 1, 50 do
          local n = random.integer(-1, 1)
          assert(n >= -1 and n <= 1 and list.contains({ "a", "b" }, random.choice{ "a", "b" }))
        end
        assert(random.integer(math.mininteger, math.maxinteger) and #random.shuffle{ 1, 2, 3 } == 3)
        assert(list.sorted(random.shuffle{ 3, 1, 2 })[3] == 3 and not pcall(random.choice, {}) and not pcall(random.integer, 2, 1))
        assert(url.quote("a b/ü") == "a%20b/%C3%BC" and url.quote("a/b", "") == "a%2Fb" and url.unquote("a%20b%C3%BC") == "a bü")
        assert(url.encode{ b = { 1, true }, a = "x y&" } == "a=x+y%26&b=1&b=true")
        local u = url.parse("https://me:p%40@Example.org/a/b?x=1&y=a%20b#end")
        assert(u.scheme == "https" and u.host == "example.org" and u.port == 443 and u.path == "/a/b" and u.query == "x=1&y=a%20b")
        assert(u.fragment == "end" and u.username == "me" and u.password == "p@" and u.params.x == "1" and u.params.y == "a b")
        assert(url.join("http://h/a/b", "../c") == "http://h/c")
        assert(hash.sha1("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709" and hash.md5("") == "d41d8cd98f00b204e9800998ecf8427e")
        assert(hash.sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" and #hash.sha512("", { raw = true }) == 64)
        assert(hash.hmac_sha256("key", "The quick brown fox jumps over the lazy dog") == "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8")
        for i = 0, 40 do
          local bytes = ("\0\xff\xfe?"):rep(i):sub(1, i)
          assert(base64.decode(base64.encode(bytes)) == bytes)
          assert(base64.decode(base64.encode(bytes, { url_safe = true }), { url_safe = true }) == bytes)
        end
        assert(base64.encode("\xfb\xff") == "+/8=" and base64.encode("\xfb\xff", { url_safe = true }) == "-_8" and base64.decode("YQ\n==") == "a")
        assert(not pcall(base64.decode, "!"))
        local g = util.giturlparse("git@github.com:a/b.git")
        assert(g.proto == "ssh" and g.user == "git" and g.domain == "github.com" and g.owner == "a" and g.repo == "b" and g.port == nil)
        assert(util.giturlparse("nothing") == nil)
        local p = util.Properties{ a = 1 }
        p:setProperty("b", "x", "test")
        p.c = true
        assert(p:getProperty("a") == 1 and p.b == "x" and p:getProperty("z", 5) == 5 and p:hasProperty("c") and not p:hasProperty("z"))
        assert(p:getPropertySource("b") == "test" and p:asDict().b[2] == "test" and p:asList()[3][1] == "c" and p.zz == nil)
        p:update({ a = 2 }, "later")
        local names = {}
        for name in pairs(p) do names[#names + 1] = name end
        assert(p.a == 2 and table.concat(names) == "abc")
    "#,
    )
    .await;
}

#[tokio::test]
async fn a_table_that_is_huge_by_what_it_shares_is_refused() {
    let started = std::time::Instant::now();
    for (call, expected) in [
        ("json.encode(t)", "json.encode: more than 1000000 values"),
        ("yaml.encode(t)", "yaml.encode: more than 1000000 values"),
        ("http.post('http://127.0.0.1:1/', { json = t })", "http.post: json: more than 1000000 values"),
    ] {
        let told = mistakes(&format!("local t = {{}} for i = 1, 60 do t = {{ t, t }} end\n{call}")).await.join("\n");
        assert!(told.starts_with("master.lua:2: ") && told.contains(expected), "{call}: {told}");
    }
    assert!(started.elapsed() < Duration::from_secs(30));
}
