//! INI files as Python's `RawConfigParser` reads them: options in lower case, sections as they are written, `DEFAULT` shows in every
//! section, indented lines go on with a value. All values are text; nothing is interpolated.

use serde_json::Value as Json;

use super::formats::Data;

const DEFAULT: &str = "DEFAULT";

#[derive(Default)]
struct Section {
    name: String,
    options: Vec<(String, Vec<String>)>,
}

pub(super) fn parse(text: &str) -> Result<Data, String> {
    let mut sections: Vec<Section> = Vec::new();
    // The indentation of the option that may go on.
    let mut open: Option<usize> = None;
    for (line, number) in text.lines().zip(1..) {
        let wrong = |what: &str| Err(format!("line {number}: {what}"));
        let content = line.trim();
        if content.starts_with(['#', ';']) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let last = sections.last_mut().and_then(|section| section.options.last_mut());
        if let (Some(at), Some((_, value))) = (open, last)
            && (content.is_empty() || indent > at)
        {
            value.push(content.to_owned());
            continue;
        }
        if content.is_empty() {
            continue;
        }
        if let Some(rest) = content.strip_prefix('[') {
            let Some((name, _)) = rest.rsplit_once(']').filter(|(name, _)| !name.is_empty()) else {
                return wrong("a section is written [name]");
            };
            if sections.iter().any(|section| section.name == name) {
                return wrong("the section is there twice");
            }
            sections.push(Section { name: name.to_owned(), options: Vec::new() });
            open = None;
            continue;
        }
        let Some(section) = sections.last_mut() else { return wrong("an option before the first [section]") };
        let Some((name, value)) = content.split_once(['=', ':']) else { return wrong("an option is written name = value") };
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            return wrong("an option without a name");
        }
        if section.options.iter().any(|(known, _)| *known == name) {
            return wrong("the option is there twice in its section");
        }
        section.options.push((name, vec![value.trim().to_owned()]));
        open = Some(indent);
    }
    Ok(data(sections))
}

fn data(sections: Vec<Section>) -> Data {
    let text = |lines: &[String]| Data::Text(lines.join("\n").trim_end().to_owned());
    let options = |section: &Section| -> Vec<(Data, Data)> {
        section.options.iter().map(|(name, lines)| (Data::Text(name.clone()), text(lines))).collect()
    };
    let defaults = sections.iter().find(|section| section.name == DEFAULT).map(options).unwrap_or_default();
    let whole = |section: &Section| {
        let own = options(section);
        let missing = defaults.iter().filter(|(name, _)| own.iter().all(|(known, _)| known != name));
        Data::Map(missing.cloned().chain(own.iter().cloned()).collect())
    };
    Data::Map(sections.iter().map(|section| (Data::Text(section.name.clone()), whole(section))).collect())
}

pub(super) fn encode(json: &Json) -> Result<String, String> {
    let Some(sections) = json.as_object() else { return Err("needs a table of sections".into()) };
    let mut out = String::new();
    for (name, options) in sections {
        if name.is_empty() || name.contains(['\n', '\r', ']']) {
            return Err(format!("{name:?} can't be the name of a section"));
        }
        let empty = options.as_array().is_some_and(Vec::is_empty);
        let none = serde_json::Map::new();
        let Some(options) = options.as_object().or(empty.then_some(&none)) else {
            return Err(format!("section {name:?} must be a table with names"));
        };
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&format!("[{name}]\n"));
        for (option, value) in options {
            if option.trim() != option
                || option.is_empty()
                || option.starts_with(['[', '#', ';'])
                || option.contains(['=', ':', '\n', '\r'])
            {
                return Err(format!("{option:?} can't be the name of an option"));
            }
            let text = match value {
                Json::String(text) => text.replace('\n', "\n\t"),
                Json::Number(_) | Json::Bool(_) => value.to_string(),
                _ => return Err(format!("{option:?} in section {name:?} must be text, a number, true or false")),
            };
            out.push_str(&format!("{option} = {text}\n"));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(data: &Data, path: &[&str]) -> Option<Data> {
        let mut here = data.clone();
        for name in path {
            let Data::Map(pairs) = here else { return None };
            here = pairs.into_iter().find(|(key, _)| *key == Data::Text((*name).into()))?.1;
        }
        Some(here)
    }

    #[test]
    fn it_reads_as_pythons_parser_does() {
        let text =
            "; c\n[DEFAULT]\nPort: 80\n[Web Site]\nURL = http://x/?a=b ; kept\nlist =\n  one\n\n  # comment\n  two\n\nport=81\n[empty]\n";
        let data = parse(text).unwrap();
        let text = |s: &str| Some(Data::Text(s.into()));
        assert_eq!(get(&data, &["Web Site", "url"]), text("http://x/?a=b ; kept"));
        assert_eq!(get(&data, &["Web Site", "list"]), text("\none\n\ntwo"));
        assert_eq!(get(&data, &["Web Site", "port"]), text("81"));
        assert_eq!(get(&data, &["empty", "port"]), text("80"));
        assert_eq!(get(&data, &["web site"]), None);
    }

    #[test]
    fn what_it_refuses_has_a_line() {
        for (text, told) in [
            ("a = 1", "line 1: an option before"),
            ("[a]\nx=1\nX=2", "line 3: the option is there twice"),
            ("[a]\n[b]\n[a]", "line 3: the section is there twice"),
            ("[a\n", "line 1: a section is written"),
            ("[a]\n= 1", "line 2: an option without a name"),
        ] {
            assert!(parse(text).unwrap_err().starts_with(told), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let json = serde_json::json!({ "a": { "x": "1\n2", "y": 5 }, "b": [] });
        let data = parse(&encode(&json).unwrap()).unwrap();
        assert_eq!(get(&data, &["a", "x"]), Some(Data::Text("1\n2".into())));
        assert_eq!(get(&data, &["b"]), Some(Data::Map(Vec::new())));
        assert!(encode(&serde_json::json!({ "a": { "[x": 1 } })).is_err() && encode(&serde_json::json!([1])).is_err());
    }
}
