//! The parameters of a force form: what they are told, and what they are by default.

use std::sync::Arc;

use serde_json::Value as Json;

use super::arguments::Preset::Text;
use super::arguments::{Arguments, Preset, Reader, arguments};
use super::assemble::{Assembly, Parsed};
use super::class::{ClassDecl, Kind};
use super::convert::{FromValue, Pattern, Whole, Wrong};
use super::instance::ParameterRef;
use super::lua_type::LuaType;
use super::spec::{Choices, Parameter, ParameterKind, ParseWith};
use super::value::{FnRef, Object, Value};
use super::without_effect::{Ignored, NotYet};
use crate::base::suggest;

arguments! {
    /// What every parameter takes.
    Common {
        "tablabel" tablabel: Option<String> = None => "label", "What its tab says, if it has one.";
        "tooltip" tooltip: String = String::new() => "\"\"", "What is shown beside it.";
        "regex" regex: Option<Pattern> = None => "None", "What is entered must match.";
        "default" default: Option<Json> = None => "None", "What it is if nothing is entered.";
        "required" required: bool = false => "false", "Something must be entered.";
        "multiple" multiple: bool = false => "false", "It takes several values.";
        "hide" hide: bool = false => "false", "It is not shown.";
        "size" size: Option<Whole<1>> = None => "None", "How wide the box is.";
        "maxsize" maxsize: Option<Whole<1>> = None => "None", "The most bytes of a file; other parameters are not measured.";
        "autopopulate" _autopopulate: NotYet = NotYet => "None", "What a choice fills into other fields.";
        "fullName" _full_name: NotYet = NotYet => "None", "Its name in calls of the API.";
        "debug" _debug: Ignored = Ignored => "true", "Has no effect.";
    }
}

arguments! {
    PlainArgs {
        include common: Common;
        [1] "name" name: String, "The property that it becomes.";
        [2] "label" label: Option<String> = None => "name", "What the form says.";
        "parse_from_arg" parse_from_arg: Option<FnRef> = None => "None", "`function(self, text)`: the value of what was entered; raises to refuse it. Also a method.";
        "parse_from_args" parse_from_args: Option<FnRef> = None => "None", "`function(self, texts)`: the same of all that was entered.";
    }
}

arguments! {
    TextArgs {
        include plain: PlainArgs;
        "cols" cols: Whole<1> = Whole(80) => "80", "How wide the box is.";
        "rows" rows: Whole<1> = Whole(20) => "20", "How high the box is.";
    }
}

arguments! {
    UserNameArgs {
        include plain: PlainArgs;
        "need_email" need_email: bool = true => "true", "The name must have an address of mail.";
    }
}

arguments! {
    ChoiceArgs {
        include plain: PlainArgs;
        "choices" choices: Choices, "What can be chosen, or a function that gives the list; its answer is kept for 30 s.";
        "strict" strict: bool = true => "true", "Nothing else can be entered.";
    }
}

arguments! {
    NestedArgs {
        include common: Common;
        [1] "name" name: String, "Put before the names of its fields; may be empty.";
        [2] "fields" fields: Vec<ParameterRef>, "The parameters in it.";
        "label" label: Option<String> = None => "name", "What the form says.";
        "columns" columns: Option<Columns> = None => "None", "How many columns; None: as it looks best.";
        "layout" layout: Layout = Layout("vertical".into()) => "\"vertical\"", "`vertical`, `simple` or `tabs`.";
    }
}

arguments! {
    CodebaseArgs {
        include common: Common;
        [1] "codebase" codebase: String, "The codebase.";
        [2] "name" name: Option<String> = None => "codebase", "Its name in the form.";
        [3] "label" label: Option<String> = None => "the codebase", "What the form says.";
        [4] "branch" branch: Field = Field::Default => "StringParameter", "The branch: a parameter, or a text that is always it.";
        [5] "revision" revision: Field = Field::Default => "StringParameter", "The revision.";
        [6] "repository" repository: Field = Field::Default => "StringParameter", "The repository.";
        [7] "project" project: Field = Field::Default => "StringParameter", "The project.";
        "patch" _patch: NotYet = NotYet => "None", "A patch.";
        "columns" columns: Option<Columns> = None => "None", "How many columns.";
        "layout" layout: Layout = Layout("simple".into()) => "\"simple\"", "`vertical`, `simple` or `tabs`.";
    }
}

pub(super) fn declare(list: &mut Vec<ClassDecl>) {
    let class = |name, doc| ClassDecl::new::<PlainArgs>(name, Kind::Parameter, simple, doc);
    list.push(class("FixedParameter", "Always the same value."));
    list.push(class("StringParameter", "A line of text."));
    list.push(ClassDecl::new::<TextArgs>("TextParameter", Kind::Parameter, text, "Lines of text."));
    list.push(class("IntParameter", "A whole number."));
    list.push(class("BooleanParameter", "Yes or no."));
    list.push(
        ClassDecl::new::<UserNameArgs>("UserNameParameter", Kind::Parameter, user_name, "Who asks for the build.")
            .presets(&[("name", Text("username")), ("label", Text("Your name:"))]),
    );
    list.push(ClassDecl::new::<ChoiceArgs>("ChoiceStringParameter", Kind::Parameter, choice, "One of several texts."));
    list.push(class("WorkerChoiceParameter", "The worker that is to be used.").presets(WORKER));
    list.push(class("FileParameter", "A file's contents."));
    list.push(class("AnyPropertyParameter", "Any property: a name and a value."));
    list.push(
        ClassDecl::new::<NestedArgs>("NestedParameter", Kind::Parameter, nested, "Parameters that belong together.")
            .old(&["ParameterGroup"]),
    );
    list.push(ClassDecl::new::<CodebaseArgs>(
        "CodebaseParameter",
        Kind::Parameter,
        codebase_parameter,
        "Branch, revision, repository and project of a codebase.",
    ));
}

const WORKER: &[(&str, Preset)] = &[("name", Text("workername")), ("label", Text("Worker:"))];

const FILE_BYTES: i64 = 10 << 20;

/// A parameter of that class and name, as it is by default.
pub(super) fn plain(class: &str, name: &str, kind: ParameterKind) -> Parameter {
    let default = match kind {
        ParameterKind::Bool => Json::Bool(false),
        _ => Json::from(""),
    };
    let text = matches!(kind, ParameterKind::Text | ParameterKind::Int | ParameterKind::UserName { .. });
    Parameter {
        class: class.into(),
        name: name.into(),
        label: name.into(),
        tablabel: name.into(),
        tooltip: String::new(),
        regex: None,
        default,
        required: false,
        multiple: false,
        hide: false,
        size: text.then_some(10),
        cols: None,
        rows: None,
        parse: None,
        kind,
    }
}

pub(super) fn username() -> Parameter {
    let label = "Your name:".to_string();
    let kind = ParameterKind::UserName { need_email: true };
    Parameter { tablabel: label.clone(), label, size: Some(30), ..plain("UserNameParameter", "username", kind) }
}

/// A codebase with four lines of text.
pub(super) fn codebase(codebase: &str) -> Parameter {
    let fields = FIELDS.iter().map(|name| field(name)).collect();
    let label = if codebase.is_empty() { String::new() } else { format!("Codebase: {codebase}") };
    let kind = ParameterKind::Codebase { codebase: codebase.into(), fields };
    Parameter { tablabel: label.clone(), label, ..plain("CodebaseParameter", codebase, kind) }
}

const FIELDS: [&str; 4] = ["branch", "revision", "repository", "project"];

fn field(name: &str) -> Parameter {
    let label = format!("{}{}:", name[..1].to_uppercase(), &name[1..]);
    Parameter { tablabel: label.clone(), label, ..plain("StringParameter", name, ParameterKind::Text) }
}

/// `start` with what every parameter was told.
fn told(
    reader: &mut Reader,
    assembly: &mut Assembly,
    object: &Object,
    start: Parameter,
    label: Option<String>,
    args: Common,
) -> Option<Parameter> {
    if args.maxsize.is_some() && !matches!(start.kind, ParameterKind::File { .. }) {
        reader.warn_of("maxsize", "'maxsize' has no effect: only a FileParameter is measured");
    }
    if let Some(Err(text)) = args.regex.as_ref().map(|pattern| assembly.regex("regex", &pattern.0)) {
        reader.wrong(text);
    }
    let default = args.default.map(|d| as_kind(d, &start.kind)).filter(|d| !d.is_null());
    if let Some(Err(text)) = default.as_ref().map(|d| check_default(d, &start.kind)) {
        reader.wrong(text);
        return None;
    }
    if let (Some(default), ParameterKind::Choice { choices: Choices::List(choices), strict: true }) = (&default, &start.kind) {
        let of_default = default.as_array().map_or(std::slice::from_ref(default), Vec::as_slice).iter().filter_map(Json::as_str);
        for text in of_default.filter(|text| !text.is_empty() && !choices.iter().any(|c| c == text)) {
            let (shown, hint) = (Value::Text(text.into()).describe(), suggest::hint(text, choices.iter().map(String::as_str)));
            reader.warn_of("default", format!("'default' is {shown}, which is none of the choices{hint}: whoever leaves it is refused"));
        }
    }
    let label = label.unwrap_or(start.label);
    Some(Parameter {
        class: object.custom_class.clone().unwrap_or_else(|| object.class.clone()),
        tablabel: args.tablabel.unwrap_or_else(|| label.clone()),
        label,
        tooltip: args.tooltip,
        regex: args.regex.map(|pattern| pattern.0),
        default: default.unwrap_or(start.default),
        required: args.required,
        multiple: args.multiple,
        hide: args.hide,
        size: args.size.map(|s| s.0).or(start.size),
        ..start
    })
}

/// With the function that reads what is entered.
fn parsed_by(reader: &mut Reader, parameter: Parameter, each: Option<FnRef>, all: Option<FnRef>) -> Parameter {
    let parse = all.map(ParseWith::All).or(each.map(ParseWith::Each));
    if parse.is_some() && matches!(parameter.kind, ParameterKind::Fixed | ParameterKind::AnyProperty) {
        reader.wrong("'parse_from_arg' has no effect here: nothing is entered that it could read");
    }
    Parameter { parse, ..parameter }
}

impl FromValue for Choices {
    fn expected() -> String {
        "a list of texts or a function".into()
    }

    fn lua_type() -> LuaType {
        LuaType::list(LuaType::Name("string")).or(LuaType::Function)
    }

    fn from_value(value: &Value) -> Result<Choices, Wrong> {
        match value {
            Value::Function(f) => Ok(Choices::Call(f.clone())),
            Value::Table(_) => Vec::from_value(value).map(Choices::List),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

fn done(parameter: Parameter) -> Option<Parsed> {
    Some(Parsed::Parameter(Arc::new(parameter)))
}

fn simple(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = PlainArgs::read(reader)?;
    let kind = match object.class.as_str() {
        "FixedParameter" => ParameterKind::Fixed,
        "IntParameter" => ParameterKind::Int,
        "BooleanParameter" => ParameterKind::Bool,
        "WorkerChoiceParameter" => ParameterKind::Worker,
        "FileParameter" => ParameterKind::File { max_bytes: args.common.maxsize.map_or(FILE_BYTES, |m| m.0).unsigned_abs() },
        "AnyPropertyParameter" => ParameterKind::AnyProperty,
        _ => ParameterKind::Text,
    };
    let parameter = told(reader, assembly, object, plain(&object.class, &args.name, kind), args.label, args.common)?;
    done(parsed_by(reader, parameter, args.parse_from_arg, args.parse_from_args))
}

fn text(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let TextArgs { plain: args, cols, rows } = TextArgs::read(reader)?;
    let start = Parameter { cols: Some(cols.0), rows: Some(rows.0), ..plain(&object.class, &args.name, ParameterKind::Text) };
    let parameter = told(reader, assembly, object, start, args.label, args.common)?;
    done(parsed_by(reader, parameter, args.parse_from_arg, args.parse_from_args))
}

fn user_name(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let UserNameArgs { plain: args, need_email } = UserNameArgs::read(reader)?;
    let start = Parameter { name: args.name, kind: ParameterKind::UserName { need_email }, ..username() };
    let parameter = told(reader, assembly, object, start, args.label, args.common)?;
    done(parsed_by(reader, parameter, args.parse_from_arg, args.parse_from_args))
}

fn choice(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let ChoiceArgs { plain: args, choices, strict } = ChoiceArgs::read(reader)?;
    let start = plain(&object.class, &args.name, ParameterKind::Choice { choices, strict });
    let parameter = told(reader, assembly, object, start, args.label, args.common)?;
    done(parsed_by(reader, parameter, args.parse_from_arg, args.parse_from_args))
}

fn nested(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = NestedArgs::read(reader)?;
    let fields = args.fields.iter().map(|f| inner(f, assembly)).collect::<Option<Vec<_>>>()?;
    let kind = ParameterKind::Nested { fields, columns: args.columns.map(|c| c.0), layout: args.layout.0 };
    done(told(reader, assembly, object, plain(&object.class, &args.name, kind), args.label, args.common)?)
}

fn inner(parameter: &ParameterRef, assembly: &mut Assembly) -> Option<Parameter> {
    match assembly.parsed(&parameter.0) {
        Some(Parsed::Parameter(p)) => Some((*p).clone()),
        _ => None,
    }
}

fn codebase_parameter(reader: &mut Reader, object: &Object, assembly: &mut Assembly) -> Option<Parsed> {
    let args = CodebaseArgs::read(reader)?;
    let mut fields = Vec::with_capacity(FIELDS.len());
    for (name, given) in FIELDS.into_iter().zip([args.branch, args.revision, args.repository, args.project]) {
        fields.push(match given {
            Field::Default => field(name),
            Field::Fixed(text) => Parameter { default: text.into(), ..plain("FixedParameter", name, ParameterKind::Fixed) },
            // Its place says which field it is, whatever it is called.
            Field::Parameter(r) => Parameter { name: name.into(), ..inner(&r, assembly)? },
        });
    }
    let start = codebase(&args.codebase);
    let name = args.name.unwrap_or(start.name);
    let start = Parameter { name, kind: ParameterKind::Codebase { codebase: args.codebase, fields }, ..start };
    done(told(reader, assembly, object, start, args.label, args.common)?)
}

/// How many columns a group has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns(i64);

impl FromValue for Columns {
    fn expected() -> String {
        "a whole number from 1 to 4".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("integer")
    }

    fn from_value(value: &Value) -> Result<Columns, Wrong> {
        match i64::from_value(value) {
            Ok(n @ 1..=4) => Ok(Columns(n)),
            _ => Err(Wrong::must(Self::expected(), value)),
        }
    }
}

/// How a group is laid out.
#[derive(Clone, Debug)]
pub(super) struct Layout(String);

impl FromValue for Layout {
    fn expected() -> String {
        "\"vertical\", \"simple\" or \"tabs\"".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("\"vertical\"|\"simple\"|\"tabs\"")
    }

    fn from_value(value: &Value) -> Result<Layout, Wrong> {
        match value {
            Value::Text(text) if ["vertical", "simple", "tabs"].contains(&text.as_str()) => Ok(Layout(text.clone())),
            other => Err(Wrong::must(Self::expected(), other)),
        }
    }
}

/// One of the fields of a codebase: a parameter, or the text that is always it.
#[derive(Clone, Debug)]
pub(super) enum Field {
    Default,
    Fixed(String),
    Parameter(ParameterRef),
}

impl FromValue for Field {
    fn expected() -> String {
        "text or a parameter such as util.FixedParameter".into()
    }

    fn lua_type() -> LuaType {
        LuaType::Name("string").or(LuaType::Name("Parameter"))
    }

    fn from_value(value: &Value) -> Result<Field, Wrong> {
        match value {
            Value::Text(text) => Ok(Field::Fixed(text.clone())),
            other => ParameterRef::from_value(other).map(Field::Parameter).map_err(|_| Wrong::must(Self::expected(), other)),
        }
    }
}

/// Lua's `2.0` is 2, where a whole number is wanted.
fn as_kind(default: Json, kind: &ParameterKind) -> Json {
    match kind {
        ParameterKind::Int => i64::from_value(&Value::from_json(&default)).map_or(default, Json::from),
        _ => default,
    }
}

/// A default of a parameter: plain data that is no table of names.
fn check_default(default: &Json, kind: &ParameterKind) -> Result<(), String> {
    let (fits, expected) = match kind {
        ParameterKind::Bool => (default.is_boolean() || default == "", "true or false"),
        ParameterKind::Int => (default.is_i64() || default == "", "a whole number"),
        ParameterKind::Nested { .. } | ParameterKind::Codebase { .. } | ParameterKind::Fixed => (true, ""),
        _ => (!default.is_object(), "text"),
    };
    if fits { Ok(()) } else { Err(format!("'default' must be {expected}, got {}", Value::from_json(default).describe())) }
}
