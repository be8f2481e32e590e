//! What the host offers to a file, as a page of the reference. A test compares it with what is really there.

/// The call as it is written, and what it does.
pub(in super::super) const LIBRARY: &[(&str, &str)] = &[
    ("class(name, parent?)", "A class of one's own: `init`, `super`, `isinstance`, `extend`, `mixin`."),
    ("Class:extend(name, body?)", "A class below one of the host's or one's own; the body holds attributes and methods."),
    ("Class:mixin(table)", "Copies what the class lacks."),
    ("Class.classname", "The name of the class; `Class.super` is its parent."),
    ("isinstance(x, Class)", "Was `x` made by the class or by one below it? Also `x:isinstance(Class)`."),
    ("truthy(x)", "Python's rule: nil, false, None, 0, \"\" and empty tables are false."),
    ("sleep(seconds)", "Waits; only this call does."),
    ("require(name)", "A file of the configuration's folder, or a module `buildmoon.…`; evaluated once for each load."),
    ("util.timedelta{ weeks=, days=, hours=, minutes=, seconds=, milliseconds= }", "A number of seconds."),
    ("util.Properties{ name = value, … }", "A bag of properties: `getProperty`, `setProperty`, `hasProperty`, `update`, `asDict`."),
    ("util.giturlparse(url)", "`proto`, `user`, `domain`, `port`, `owner`, `repo` of a git repository's address; nil for anything else."),
    ("util.hostname()", "The name of this machine."),
    ("util.fqdn()", "The same with its domain, if `/etc/hosts` knows it; no name server is asked."),
    ("util.cpu_count()", "How many processors the master may use."),
    ("fs.read(name)", "The content of a file; names are relative to the configuration's folder."),
    ("fs.exists(name)", "Is there such a file or folder?"),
    ("fs.list(folder?)", "The names in a folder, sorted."),
    ("json.decode(text, { null = None }?)", "Null is nil, or what `null` says."),
    (
        "json.encode(value, { indent = true }?)",
        "A table with items is a list, one with names an object; an empty table is the list `[]`; None is null. Keys are sorted.",
    ),
    ("json.load_file(name, { null = None }?)", "A file, decoded."),
    ("log.debug(…)", "A line of the master's log, with the line of the file that said it; `print` is `log.info`."),
    ("log.info(…)", "The same."),
    ("log.warn(…)", "The same."),
    ("log.error(…)", "The same."),
    ("time.now()", "Seconds since 1970, with fractions."),
    ("list.concat(a, b, …)", "One new list; nil is skipped."),
    ("list.extend(into, from)", "Adds the items to `into`."),
    ("list.map(items, f)", "A new list of what `f` gives."),
    ("list.filter(items, f)", "A new list of those that `f` says yes to."),
    ("list.any(items, f?)", "Is any true?"),
    ("list.all(items, f?)", "Are all true?"),
    ("list.contains(items, x)", "Is it one of them?"),
    ("list.unique(items)", "Each once, in the order of the first."),
    ("list.set(items)", "A table in which each item is a key."),
    ("list.sorted(items, key?)", "A new list in order."),
    ("dict.keys(t)", "The names, sorted."),
    ("dict.values(t)", "The values, in the order of the names."),
    ("dict.items(t)", "Pairs `{ name, value }`, in the order of the names."),
    ("dict.copy(t)", "A new table with the same values."),
    ("dict.deepcopy(t)", "The same with the tables in it; objects are not copied."),
    ("dict.merge(a, b, …)", "A new table; the later wins."),
    ("dict.sorted_pairs(t)", "`pairs` in the order of the names."),
    ("text.startswith(s, start)", "Does it begin so?"),
    ("text.endswith(s, ending)", "Does it end so?"),
    ("text.strip(s)", "Without space around it."),
    ("text.split(s, separator?)", "A list of the parts; without a separator of the words."),
    ("text.lines(s)", "A list of the lines."),
    ("text.format(s, values)", "`{name}` and `{1}` are filled in."),
    ("text.repr(x)", "A value as Lua would write it."),
    ("path.join(a, b, …)", "One path."),
    ("path.basename(p)", "What follows the last slash."),
    ("path.dirname(p)", "What comes before it."),
];

/// As a page of the reference.
pub(in super::super) fn markdown() -> String {
    let mut page = String::from("# Library\n\n| Call | Meaning |\n|---|---|\n");
    for (call, meaning) in LIBRARY {
        page.push_str(&format!("| `{call}` | {meaning} |\n"));
    }
    page
}
