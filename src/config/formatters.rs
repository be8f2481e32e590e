//! `MessageFormatter` and its kin: what a message says, as far as the configuration tells. Fills no template; that is `report`'s part.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::arguments::{Arguments, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ClassDecl, Kind};
use super::convert::{self, FromValue, Wrong};
use super::lua_type::LuaType;
use super::template::Arg;
use super::value::{FnRef, Object, Place, Value};
use crate::base::jinja::{Jinja, Options};

/// A formatter, understood.
#[derive(Clone, PartialEq, Debug)]
pub struct FormatterSpec {
    /// `MessageFormatter`, or the name that `extend` gave.
    pub class: String,
    pub kind: FormatterKind,
    pub wants: Wants,
    /// What templates see besides.
    pub ctx: Map<String, Json>,
    /// Makes the message in Lua: a function of the context and of the built-in texts. Then `kind` says only what is called.
    pub call: Option<FnRef>,
    pub place: Place,
}

#[derive(Clone, PartialEq, Debug)]
pub enum FormatterKind {
    /// Texts in the language of [`crate::base::jinja`]; none: the built-in ones.
    Template(TemplateTexts),
    /// The same about a worker that is missing or has returned.
    Worker(TemplateTexts),
    Renderable {
        template: Arg<String>,
        subject: Arg<Option<String>>,
    },
    Function,
    FunctionRaw,
    /// Neither subject nor body.
    Empty,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct TemplateTexts {
    pub template: Option<String>,
    pub subject: Option<String>,
    /// None: text, and HTML beside it where the texts are built in.
    pub body: Option<BodyType>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyType {
    Plain,
    Html,
    /// Data for services, made by a function.
    Json,
}

/// What of a build the context shows.
#[derive(Clone, PartialEq, Debug)]
pub struct Wants {
    pub properties: bool,
    pub steps: bool,
    pub logs: bool,
    pub content: WantedLogs,
}

impl Default for Wants {
    fn default() -> Wants {
        Wants { properties: true, steps: false, logs: false, content: WantedLogs::None }
    }
}

/// Which logs are wanted with what is in them.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum WantedLogs {
    #[default]
    None,
    All,
    /// Of these names, each `log` or `step.log`.
    Named(Vec<String>),
}

impl WantedLogs {
    pub fn wants(&self, step: &str, log: &str) -> bool {
        match self {
            WantedLogs::None => false,
            WantedLogs::All => true,
            WantedLogs::Named(names) => {
                names.iter().any(|name| name == log || name.strip_prefix(step).and_then(|rest| rest.strip_prefix('.')) == Some(log))
            }
        }
    }
}

arguments! {
    /// What every formatter takes.
    Common {
        "ctx" ctx: Ctx = Ctx::default() => "{}", "What templates see besides: names and values, functions among them.";
        "want_properties" | "wantProperties" want_properties: bool = true => "true", "The build is shown with its properties.";
        "want_steps" | "wantSteps" want_steps: bool = false => "false", "The build is shown with its steps.";
        "want_logs" want_logs: bool = false => "false", "The steps are shown with their logs; this wants the steps, too.";
        "want_logs_content" | "wantLogs" want_logs_content: WantedLogs = WantedLogs::None => "false", "The logs are shown with what is in them, and hang on mails: all, or those of these names (`stdio`, `compile.stdio`); of a long log the end.";
        "format" format: Option<FnRef> = None => "None", "`function(self, ctx)`: makes the message itself: a text, or a table of `body`, `type`, `subject`, `extra_info`, and `html` beside a plain body. Usually a method of a class of one's own.";
    }
}

arguments! {
    /// What those take that are made of templates.
    Texts {
        [1] "template" template: Option<String> = None => "None", "The body, as a template; None: the built-in text.";
        [2] "subject" subject: Option<String> = None => "None", "The subject, as a template; None: the built-in one.";
        [3] "template_type" template_type: Option<TextType> = None => "None", "`plain` or `html`; what fills a template of HTML is escaped unless it is `|safe`. None: plain; of the built-in texts both.";
        "template_filename" | "template_name" template_filename: Option<String> = None => "None", "The file with the template, instead of the template itself.";
        "subject_filename" subject_filename: Option<String> = None => "None", "The file with the subject.";
        "template_dir" template_dir: Option<String> = None => "None", "The folder of these files; None: the configuration's.";
    }
}

arguments! {
    TemplateArgs {
        include texts: Texts;
        include common: Common;
        "extra_info_cb" extra_info_cb: Option<FnRef> = None => "None", "Gives what services are told besides: a table of tables, such as `{ pushover = { priority = 1 } }`.";
    }
}

arguments! {
    WorkerArgs {
        include texts: Texts;
        "ctx" ctx: Ctx = Ctx::default() => "{}", "What templates see besides: names and values, functions among them.";
        "format" format: Option<FnRef> = None => "None", "`function(self, ctx)`: makes the message itself, as of `MessageFormatter`.";
    }
}

arguments! {
    RenderableArgs {
        include common: Common;
        [1] "template" template: Arg<String>, "The body, such as an `Interpolate`.";
        [2] "subject" subject: Arg<Option<String>> = Arg::default() => "None", "The subject; None: the built-in one.";
    }
}

arguments! {
    FunctionArgs {
        include common: Common;
        [1] "function" function: FnRef, "Called with the context; gives the body.";
        [2] "template_type" template_type: BodyType, "What it gives: `plain`, `html`, or `json` for data.";
    }
}

arguments! {
    RawArgs {
        include common: Common;
        [1] "function" function: FnRef, "Called with the master and the context; gives a table of `body`, `type`, `subject`, `extra_info`.";
    }
}

arguments! {
    EmptyArgs {
        include common: Common;
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    let kind = Kind::Formatter;
    list.push(ClassDecl::new::<TemplateArgs>("MessageFormatter", kind, template, "What a message about builds says, by templates."));
    list.push(ClassDecl::new::<RenderableArgs>(
        "MessageFormatterRenderable",
        kind,
        renderable,
        "What a message about a build says, rendered with the build's properties.",
    ));
    list.push(ClassDecl::new::<FunctionArgs>("MessageFormatterFunction", kind, function, "What a message says, by a function."));
    list.push(ClassDecl::new::<RawArgs>("MessageFormatterFunctionRaw", kind, raw, "The whole message by a function."));
    list.push(ClassDecl::new::<EmptyArgs>(
        "MessageFormatterEmpty",
        kind,
        empty,
        "No text: for services that are told only how a build stands.",
    ));
    list.push(ClassDecl::new::<WorkerArgs>(
        "MessageFormatterMissingWorker",
        kind,
        worker,
        "What a message says about a worker that is missing or has returned.",
    ));
}

fn formatter(object: &Object, kind: FormatterKind, common: Common) -> Option<Parsed> {
    let Common { ctx, want_properties, want_steps, want_logs, want_logs_content: content, format } = common;
    let logs = want_logs || content != WantedLogs::None;
    let wants = Wants { properties: want_properties, steps: want_steps || logs, logs, content };
    made(object, kind, wants, ctx, format)
}

fn made(object: &Object, kind: FormatterKind, wants: Wants, ctx: Ctx, call: Option<FnRef>) -> Option<Parsed> {
    let class = object.custom_class.clone().unwrap_or_else(|| object.class.clone());
    Some(Parsed::Formatter(Arc::new(FormatterSpec { class, kind, wants, ctx: ctx.0, call, place: object.place.clone() })))
}

fn template(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = TemplateArgs::read(reader)?;
    formatter(object, FormatterKind::Template(texts(reader, args.texts)), args.common)
}

fn worker(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = WorkerArgs::read(reader)?;
    made(object, FormatterKind::Worker(texts(reader, args.texts)), Wants::default(), args.ctx, args.format)
}

fn renderable(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = RenderableArgs::read(reader)?;
    formatter(object, FormatterKind::Renderable { template: args.template, subject: args.subject }, args.common)
}

fn function(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = FunctionArgs::read(reader)?;
    formatter(object, FormatterKind::Function, called(args.common, args.function))
}

fn raw(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = RawArgs::read(reader)?;
    formatter(object, FormatterKind::FunctionRaw, called(args.common, args.function))
}

/// The host's own Lua hands the whole making over as `format`; without it, the function is known all the same.
fn called(common: Common, function: FnRef) -> Common {
    Common { format: common.format.or(Some(function)), ..common }
}

fn empty(reader: &mut Reader, object: &Object, _: &mut Assembly) -> Option<Parsed> {
    let args = EmptyArgs::read(reader)?;
    formatter(object, FormatterKind::Empty, args.common)
}

/// The host's own Lua has read the files by now.
fn texts(reader: &mut Reader, texts: Texts) -> TemplateTexts {
    let html = texts.template_type == Some(TextType::Html);
    check(reader, "template", texts.template.as_deref(), texts.template_filename.as_deref(), html);
    check(reader, "subject", texts.subject.as_deref(), texts.subject_filename.as_deref(), false);
    if texts.template_dir.is_some() && texts.template_filename.is_none() && texts.subject_filename.is_none() {
        reader.wrong("'template_dir' needs 'template_filename' or 'subject_filename' beside it");
    }
    let body = texts.template_type.map(|t| if t == TextType::Html { BodyType::Html } else { BodyType::Plain });
    TemplateTexts { template: texts.template, subject: texts.subject, body }
}

fn check(reader: &mut Reader, name: &str, text: Option<&str>, file: Option<&str>, html: bool) {
    let Some(Err(why)) = text.map(|text| Jinja::new(text, Options { html, ..Options::default() }).map(drop)) else { return };
    let (about, what) = match file {
        Some(file) => (format!("{name}_filename"), format!("'{name}_filename' {file:?}")),
        None => (name.to_owned(), format!("'{name}'")),
    };
    reader.wrong_of(&about, format!("{what}: {why}"));
}

/// Names and values for templates. What holds functions is left out here: then the message is made in Lua.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Ctx(Map<String, Json>);

impl FromValue for Ctx {
    fn expected() -> String {
        "a table of names and values".into()
    }

    fn lua_type() -> LuaType {
        LuaType::table(LuaType::Name("any"))
    }

    fn from_value(value: &Value) -> Result<Ctx, Wrong> {
        let Value::Table(table) = value else {
            return if *value == Value::None { Ok(Ctx::default()) } else { Err(Wrong::must(Self::expected(), value)) };
        };
        if !table.items.is_empty() || table.strange_key.is_some() {
            return Err(Wrong::must(Self::expected(), value));
        }
        let plain = table.named.iter().filter(|(_, value)| !holds_function(value));
        let read = plain.map(|(name, value)| Ok((name.clone(), convert::json(value).map_err(|w| w.inside(convert::field(name)))?)));
        read.collect::<Result<_, _>>().map(Ctx)
    }
}

fn holds_function(value: &Value) -> bool {
    match value {
        Value::Function(_) => true,
        Value::Table(t) => t.items.iter().chain(t.named.values()).any(holds_function),
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TextType {
    Plain,
    Html,
}

impl FromValue for TextType {
    fn expected() -> String {
        "\"plain\" or \"html\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("\"plain\"").or(LuaType::Name("\"html\""))
    }

    fn from_value(value: &Value) -> Result<TextType, Wrong> {
        match value {
            Value::Text(t) if t == "plain" => Ok(TextType::Plain),
            Value::Text(t) if t == "html" => Ok(TextType::Html),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

impl FromValue for BodyType {
    fn expected() -> String {
        "\"plain\", \"html\" or \"json\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("\"plain\"").or(LuaType::Name("\"html\"")).or(LuaType::Name("\"json\""))
    }

    fn from_value(value: &Value) -> Result<BodyType, Wrong> {
        match value {
            Value::Text(t) if t == "plain" => Ok(BodyType::Plain),
            Value::Text(t) if t == "html" => Ok(BodyType::Html),
            Value::Text(t) if t == "json" => Ok(BodyType::Json),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

impl FromValue for WantedLogs {
    fn expected() -> String {
        "true, false or a list of names of logs".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("boolean").or(LuaType::list(LuaType::Name("string")))
    }

    fn from_value(value: &Value) -> Result<WantedLogs, Wrong> {
        match value {
            Value::None | Value::Bool(false) => Ok(WantedLogs::None),
            Value::Bool(true) => Ok(WantedLogs::All),
            Value::Table(_) => Vec::from_value(value).map(|names: Vec<String>| match names.is_empty() {
                true => WantedLogs::None,
                false => WantedLogs::Named(names),
            }),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{function, mistakes_of, object, table};
    use super::*;

    #[test]
    fn a_template_that_cannot_be_read_is_a_mistake() {
        let told = |args| mistakes_of(&object("MessageFormatter", 7, args));
        assert_eq!(told(table![; template = "{{ results }}", subject = "{{ buildername }}"]), [""; 0]);
        assert_eq!(
            told(table![; template = "a\n{% if x %}"]),
            [
                "master.lua:7: MessageFormatter: 'template': line 2 of the template: syntax error: unexpected end of input, expected end of block"
            ]
        );
        let told = told(table![; subject = "{{ x", subject_filename = "s.txt", template_type = "text"]);
        assert_eq!(told[0], "master.lua:7: MessageFormatter: 'template_type' must be \"plain\" or \"html\", got \"text\"");
    }

    #[test]
    fn context_holds_data_and_functions() {
        let told = |args| mistakes_of(&object("MessageFormatter", 7, args));
        assert_eq!(told(table![; ctx = table![; a = 1, f = function(), g = table![function()]]]), [""; 0]);
        assert_eq!(
            told(table![; ctx = table![; a = Value::Other("thread")]]),
            ["master.lua:7: MessageFormatter: ctx.a must be plain data, got a thread"]
        );
        assert_eq!(
            told(table![; ctx = table![1]]),
            ["master.lua:7: MessageFormatter: 'ctx' must be a table of names and values, got a list"]
        );
    }

    #[test]
    fn logs_are_wanted_by_their_names() {
        let wanted = WantedLogs::Named(vec!["stdio".into(), "test.errors".into()]);
        assert!(wanted.wants("compile", "stdio") && wanted.wants("test", "errors"));
        assert!(!wanted.wants("compile", "errors") && !wanted.wants("test", "errors2") && !wanted.wants("tes", "t.errors"));
    }
}
