//! Texts with holes, in the language of minijinja with Python's methods. What a text becomes is bounded in work and size; it reads no
//! file and knows nothing of what fills it.

use std::io;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

const LARGEST_SOURCE: usize = 1 << 20;
pub const LARGEST_OUTPUT: usize = 16 << 20;
/// Steps of the engine; a page of a thousand rows takes some ten thousand.
const FUEL: u64 = 5_000_000;
const NAME: &str = "template";

/// How a template is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// What is not there is an error, not empty.
    pub strict: bool,
    /// What fills the holes is escaped for HTML.
    pub html: bool,
}

/// A text that was understood.
pub struct Jinja(Environment<'static>);

impl Jinja {
    /// The error says what is wrong, and in which line of the text.
    pub fn new(text: &str, options: Options) -> Result<Jinja, String> {
        if text.len() > LARGEST_SOURCE {
            return Err(format!("the text is larger than {LARGEST_SOURCE} bytes"));
        }
        let mut env = Environment::new();
        minijinja_contrib::add_to_environment(&mut env);
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.set_undefined_behavior(if options.strict { UndefinedBehavior::Strict } else { UndefinedBehavior::Lenient });
        env.set_auto_escape_callback(move |_| if options.html { AutoEscape::Html } else { AutoEscape::None });
        env.set_fuel(Some(FUEL));
        env.add_template_owned(NAME, text.to_owned()).map_err(|e| explain(&e))?;
        Ok(Jinja(env))
    }

    pub fn render(&self, context: Value) -> Result<String, String> {
        self.render_within(context, LARGEST_OUTPUT)
    }

    /// The text, if it is not larger than `largest` bytes.
    pub fn render_within(&self, context: Value, largest: usize) -> Result<String, String> {
        let mut out = Bounded { text: Vec::new(), largest };
        let template = self.0.get_template(NAME).map_err(|e| explain(&e))?;
        template.render_captured_to(context, &mut out).map_err(|e| explain(&e))?;
        String::from_utf8(out.text).map_err(|_| "the result is not UTF-8".into())
    }
}

/// What a template's text becomes, up to a limit.
struct Bounded {
    text: Vec<u8>,
    largest: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.text.len() + text.len() > self.largest {
            return Err(io::Error::other(format!("the result is larger than {} bytes", self.largest)));
        }
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error of the engine in one line, with the template's line and the innermost cause.
fn explain(e: &Error) -> String {
    let mut text = match e.detail() {
        Some(detail) => format!("{}: {detail}", e.kind()),
        None => e.kind().to_string(),
    };
    let mut cause = std::error::Error::source(e);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(first_line(&next.to_string()));
        cause = next.source();
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match e.line() {
        Some(line) => format!("line {line} of the template: {text}"),
        None => text,
    }
}

fn first_line(text: &str) -> &str {
    let text = text.strip_prefix("runtime error: ").unwrap_or(text);
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn filled(text: &str, options: Options) -> Result<String, String> {
        Jinja::new(text, options)?.render_within(context! { name => "<b>", list => vec!["a", "b"] }, 1000)
    }

    #[test]
    fn a_text_is_filled_and_bounded() {
        let html = Options { html: true, ..Options::default() };
        assert_eq!(filled("{{ name.upper() }} {{ ', '.join(list) }}{{ x }}", Options::default()), Ok("<B> a, b".into()));
        assert_eq!(filled("{{ name }} {{ name|safe }}", html), Ok("&lt;b&gt; <b>".into()));
        assert_eq!(filled("a\n{% if %}", Options::default()).unwrap_err(), "line 2 of the template: syntax error: unexpected end of block");
        let strict = Options { strict: true, ..Options::default() };
        assert!(filled("{{ x }}", strict).unwrap_err().starts_with("line 1 of the template: undefined value"));
        let long = filled("{% for i in range(2000) %}x{% endfor %}", Options::default()).unwrap_err();
        assert!(long.contains("the result is larger than 1000 bytes"), "{long}");
        let endless = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}";
        assert!(filled(endless, Options::default()).unwrap_err().contains("fuel"));
        assert!(filled("{{ 'x' * 999999999999 }}", Options::default()).is_err());
    }
}
