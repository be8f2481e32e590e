//! The words of a Lua file, one after the other. It knows no grammar, and keeps nothing of strings and numbers.

/// What kind of word it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Name,
    Keyword,
    /// A string or a number.
    Constant,
    Symbol,
    End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub line: u32,
}

impl Token<'_> {
    /// Is it this keyword or symbol?
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Keyword | Kind::Symbol) && self.text == text
    }
}

/// The file is not what Lua's own reader would take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotLua {
    pub line: u32,
}

const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not", "or", "repeat",
    "return", "then", "true", "until", "while",
];

const LONGEST_KEYWORD: usize = 8;

/// The longest first.
const SYMBOLS: [&str; 33] = [
    "...", "..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>", "+", "-", "*", "/", "%", "^", "#", "&", "~", "|", "<", ">", "=", "(", ")",
    "{", "}", "[", "]", ";", ":", ",", ".",
];

pub(super) struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lexer<'a> {
    pub fn new(source: &'a str) -> Lexer<'a> {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let at = if source.starts_with('#') { source.find('\n').unwrap_or(source.len()) } else { 0 };
        Lexer { source, at, line: 1 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.source.as_bytes()[self.at..]
    }

    fn bad<T>(&self) -> Result<T, NotLua> {
        Err(NotLua { line: self.line })
    }

    pub fn next(&mut self) -> Result<Token<'a>, NotLua> {
        self.skip_space()?;
        let (start, line) = (self.at, self.line);
        let rest = self.rest();
        let kind = match rest.first() {
            None => Kind::End,
            Some(c) if c.is_ascii_alphabetic() || *c == b'_' => {
                self.at += rest.iter().position(|c| !(c.is_ascii_alphanumeric() || *c == b'_')).unwrap_or(rest.len());
                let keyword =
                    c.is_ascii_lowercase() && self.at - start <= LONGEST_KEYWORD && KEYWORDS.contains(&&self.source[start..self.at]);
                if keyword { Kind::Keyword } else { Kind::Name }
            }
            Some(c) if c.is_ascii_digit() || (*c == b'.' && rest.get(1).is_some_and(u8::is_ascii_digit)) => {
                self.number();
                Kind::Constant
            }
            Some(quote @ (b'"' | b'\'')) => {
                self.quoted(*quote)?;
                Kind::Constant
            }
            Some(b'[') if long_bracket(rest).is_some() => {
                self.long(long_bracket(rest).unwrap_or(0))?;
                Kind::Constant
            }
            Some(_) => {
                let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(s.as_bytes())) else { return self.bad() };
                self.at += symbol.len();
                Kind::Symbol
            }
        };
        Ok(Token { kind, text: &self.source[start..self.at], line })
    }

    fn skip_space(&mut self) -> Result<(), NotLua> {
        loop {
            let rest = self.rest();
            match rest {
                [b'\n', ..] => {
                    self.line += 1;
                    self.at += 1;
                }
                [c, ..] if c.is_ascii_whitespace() || *c == 0x0b => self.at += 1,
                [b'-', b'-', comment @ ..] => match long_bracket(comment) {
                    Some(level) => {
                        self.at += 2;
                        self.long(level)?;
                    }
                    None => self.at += rest.iter().position(|c| *c == b'\n').unwrap_or(rest.len()),
                },
                _ => return Ok(()),
            }
        }
    }

    fn number(&mut self) {
        let rest = self.rest();
        let hex = rest.len() > 1 && rest[0] == b'0' && matches!(rest[1], b'x' | b'X');
        let mut before = 0;
        let length = rest.iter().position(|c| {
            let exponent = if hex { matches!(before, b'p' | b'P') } else { matches!(before, b'e' | b'E') };
            before = *c;
            !(c.is_ascii_alphanumeric() || *c == b'.' || (exponent && matches!(c, b'+' | b'-')))
        });
        self.at += length.unwrap_or(rest.len());
    }

    fn quoted(&mut self, quote: u8) -> Result<(), NotLua> {
        self.at += 1;
        loop {
            match self.rest() {
                [c, ..] if *c == quote => {
                    self.at += 1;
                    return Ok(());
                }
                // The space after `\z`, with its line ends, is not part of the text.
                [b'\\', b'z', ..] => {
                    self.at += 2;
                    while let [c, ..] = self.rest()
                        && c.is_ascii_whitespace()
                    {
                        self.line += u32::from(*c == b'\n');
                        self.at += 1;
                    }
                }
                [b'\\', b'\r', b'\n', ..] => {
                    self.line += 1;
                    self.at += 3;
                }
                [b'\\', c, ..] => {
                    self.line += u32::from(*c == b'\n');
                    self.at += 2;
                }
                [] | [b'\n', ..] => return self.bad(),
                _ => self.at += 1,
            }
        }
    }

    /// `[[ … ]]` with so many equals signs.
    fn long(&mut self, level: usize) -> Result<(), NotLua> {
        let mut end = Vec::with_capacity(level + 2);
        end.push(b']');
        end.resize(level + 1, b'=');
        end.push(b']');
        let rest = self.rest();
        let Some(length) = rest.windows(end.len()).position(|w| w == end) else { return self.bad() };
        self.line += rest[..length].iter().filter(|c| **c == b'\n').count() as u32;
        self.at += length + end.len();
        Ok(())
    }
}

/// The equals signs of an opening long bracket, if there is one.
fn long_bracket(rest: &[u8]) -> Option<usize> {
    let inner = rest.strip_prefix(b"[")?;
    let level = inner.iter().take_while(|c| **c == b'=').count();
    (inner.get(level) == Some(&b'[')).then_some(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<(&str, u32)> {
        let mut lexer = Lexer::new(source);
        let mut all = Vec::new();
        loop {
            let token = lexer.next().unwrap();
            if token.kind == Kind::End {
                return all;
            }
            all.push((token.text, token.line));
        }
    }

    #[test]
    fn words_have_their_lines() {
        let source = "#!/usr/bin/lua\nlocal a --[==[ x\n ]] ]==] = 0x1p-3..'\\'\\\n' -- end\n[[ \n ]] a//1e+5";
        let words = words(source);
        let expected =
            [("local", 2), ("a", 2), ("=", 3), ("0x1p-3..", 3), ("'\\'\\\n'", 3), ("[[ \n ]]", 5), ("a", 6), ("//", 6), ("1e+5", 6)];
        assert_eq!(words, expected);
    }

    #[test]
    fn what_is_no_lua_is_refused_with_its_line() {
        for (source, line) in [("\n'x", 2), ("[[", 1), ("a\n--[[ ", 2), ("$", 1), ("\n\n!", 3), ("'a\n'", 1)] {
            let mut lexer = Lexer::new(source);
            let end = std::iter::repeat_with(|| lexer.next()).find(|t| t.as_ref().map_or(true, |t| t.kind == Kind::End));
            assert_eq!(end, Some(Err(NotLua { line })), "{source:?}");
        }
    }
}
