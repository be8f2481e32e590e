//! Which globals a Lua file reads and assigns, and where, in functions that never run as well: one pass with the scopes of
//! Lua's own grammar, without a tree. It judges nothing; a file that Lua refuses need not be refused here.

use std::collections::BTreeSet;

use super::lexer::{Kind, Lexer, NotLua, Token};

/// Lua refuses what is nested deeper than that.
const DEEPEST: usize = 250;

/// A global, or a constant field of one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(in crate::lua) struct Name<'a> {
    pub global: &'a str,
    pub field: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::lua) struct Read<'a> {
    pub line: u32,
    pub name: Name<'a>,
    /// It is only asked whether it is there, or stands behind an `or`, where it may never be looked at.
    pub doubted: bool,
}

/// What a file does with names that are not its own; each list in the order of the lines, without repeats.
#[derive(Default, Debug)]
pub(in crate::lua) struct Names<'a> {
    pub reads: Vec<Read<'a>>,
    pub sets: Vec<(u32, Name<'a>)>,
    /// Methods that are called, of whatever.
    pub calls: Vec<(u32, &'a str)>,
    /// Names that fields and methods of the file's own get.
    pub fields: BTreeSet<&'a str>,
    /// `_ENV` is mentioned: what a name means can't be told.
    pub environment: bool,
}

/// The names of a file.
pub(in crate::lua) fn names(source: &str) -> Result<Names<'_>, NotLua> {
    let mut lexer = Lexer::new(source);
    let token = lexer.next()?;
    let ahead = lexer.next()?;
    let mut parser = Parser {
        lexer,
        token,
        ahead,
        scope: Vec::new(),
        locals: Vec::new(),
        found: Names::default(),
        through: Vec::new(),
        depth: 0,
        fallback: false,
    };
    parser.block()?;
    if parser.token.kind != Kind::End {
        return parser.bad();
    }
    Ok(parser.finish())
}

/// A local variable, for the whole file.
struct Local<'a> {
    /// It is only another word for this global.
    alias: Option<&'a str>,
    assigned: bool,
}

/// A field of a global that is reached through a local: it means that only if nobody assigns the local.
struct Through<'a> {
    local: usize,
    read: Read<'a>,
    set: bool,
}

/// What an expression is, as far as names go. Its last access is not yet counted: it may be assigned to.
#[derive(Clone, Copy)]
enum Seems<'a> {
    Global(&'a str, u32),
    Local(usize),
    Field {
        global: &'a str,
        through: Option<usize>,
        field: &'a str,
        line: u32,
    },
    /// The field of something else.
    Inner(&'a str),
    Other,
}

type Parsed<T> = Result<T, NotLua>;

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    ahead: Token<'a>,
    /// Names in sight, the innermost last.
    scope: Vec<(&'a str, usize)>,
    locals: Vec<Local<'a>>,
    found: Names<'a>,
    through: Vec<Through<'a>>,
    depth: usize,
    fallback: bool,
}

impl<'a> Parser<'a> {
    fn bad<T>(&self) -> Parsed<T> {
        Err(NotLua { line: self.token.line })
    }

    fn advance(&mut self) -> Parsed<Token<'a>> {
        let token = self.token;
        self.token = std::mem::replace(&mut self.ahead, self.lexer.next()?);
        Ok(token)
    }

    /// Takes the word if it is there.
    fn takes(&mut self, text: &str) -> Parsed<bool> {
        let there = self.token.is(text);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn expect(&mut self, text: &str) -> Parsed<()> {
        if self.takes(text)? { Ok(()) } else { self.bad() }
    }

    fn name(&mut self) -> Parsed<&'a str> {
        if self.token.kind != Kind::Name {
            return self.bad();
        }
        Ok(self.advance()?.text)
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEEPEST {
            return self.bad();
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    // Names.

    fn declare(&mut self, name: &'a str, alias: Option<&'a str>) {
        self.found.environment |= name == "_ENV";
        self.scope.push((name, self.locals.len()));
        self.locals.push(Local { alias, assigned: false });
    }

    fn resolve(&mut self, name: &'a str, line: u32) -> Seems<'a> {
        self.found.environment |= name == "_ENV";
        match self.scope.iter().rev().find(|(known, _)| *known == name) {
            Some((_, local)) => Seems::Local(*local),
            None => Seems::Global(name, line),
        }
    }

    fn read(&mut self, seems: Seems<'a>) {
        let doubted = self.fallback;
        match seems {
            Seems::Global(global, line) => self.found.reads.push(Read { line, name: Name { global, field: None }, doubted }),
            Seems::Field { global, through, field, line } => {
                let read = Read { line, name: Name { global, field: Some(field) }, doubted };
                match through {
                    Some(local) => self.through.push(Through { local, read, set: false }),
                    None => self.found.reads.push(read),
                }
            }
            Seems::Local(_) | Seems::Inner(_) | Seems::Other => {}
        }
    }

    fn set(&mut self, seems: Seems<'a>) {
        match seems {
            Seems::Global(global, line) => self.found.sets.push((line, Name { global, field: None })),
            Seems::Field { global, through, field, line } => {
                self.found.fields.insert(field);
                let name = Name { global, field: Some(field) };
                match through {
                    Some(local) => self.through.push(Through { local, read: Read { line, name, doubted: false }, set: true }),
                    None => self.found.sets.push((line, name)),
                }
            }
            Seems::Local(local) => self.locals[local].assigned = true,
            Seems::Inner(field) => {
                self.found.fields.insert(field);
            }
            Seems::Other => {}
        }
    }

    fn finish(mut self) -> Names<'a> {
        for Through { read, set, .. } in self.through.iter().filter(|t| !self.locals[t.local].assigned) {
            if *set { self.found.sets.push((read.line, read.name)) } else { self.found.reads.push(*read) }
        }
        self.found.reads.sort_unstable();
        self.found.reads.dedup();
        self.found.sets.sort_unstable();
        self.found.sets.dedup();
        self.found.calls.sort_unstable();
        self.found.calls.dedup();
        self.found
    }

    /// The field of something, which is read by that.
    fn field_of(&mut self, of: Seems<'a>, field: &'a str, line: u32) -> Seems<'a> {
        self.read(of);
        match of {
            Seems::Global(global, _) => Seems::Field { global, through: None, field, line },
            Seems::Local(local) => match self.locals[local].alias {
                Some(global) => Seems::Field { global, through: Some(local), field, line },
                None => Seems::Inner(field),
            },
            _ => Seems::Inner(field),
        }
    }

    // Statements.

    fn block(&mut self) -> Parsed<()> {
        self.deeper(|p| {
            let names = p.scope.len();
            while !p.block_ends() {
                if p.token.is("return") {
                    p.advance()?;
                    if !p.block_ends() && !p.token.is(";") {
                        p.expressions()?;
                    }
                    p.takes(";")?;
                    break;
                }
                p.statement()?;
            }
            p.scope.truncate(names);
            Ok(())
        })
    }

    fn block_ends(&self) -> bool {
        self.token.kind == Kind::End || ["end", "else", "elseif", "until"].iter().any(|word| self.token.is(word))
    }

    fn statement(&mut self) -> Parsed<()> {
        let word = if matches!(self.token.kind, Kind::Keyword | Kind::Symbol) { self.token.text } else { "" };
        match word {
            ";" | "break" => {
                self.advance()?;
            }
            "::" => {
                self.advance()?;
                self.name()?;
                self.expect("::")?;
            }
            "goto" => {
                self.advance()?;
                self.name()?;
            }
            "do" => {
                self.advance()?;
                self.block()?;
                self.expect("end")?;
            }
            "while" => {
                self.advance()?;
                self.expression()?;
                self.expect("do")?;
                self.block()?;
                self.expect("end")?;
            }
            "repeat" => self.repeat()?,
            "if" => {
                self.advance()?;
                self.expression()?;
                self.expect("then")?;
                self.block()?;
                while self.takes("elseif")? {
                    self.expression()?;
                    self.expect("then")?;
                    self.block()?;
                }
                if self.takes("else")? {
                    self.block()?;
                }
                self.expect("end")?;
            }
            "for" => self.for_loop()?,
            "function" => {
                self.advance()?;
                let line = self.token.line;
                let name = self.name()?;
                let mut target = self.resolve(name, line);
                let mut method = false;
                while !method && (self.token.is(".") || self.token.is(":")) {
                    method = self.advance()?.text == ":";
                    let line = self.token.line;
                    let field = self.name()?;
                    target = self.field_of(target, field, line);
                }
                self.set(target);
                self.function(method)?;
            }
            "local" => self.local()?,
            _ => self.call_or_assignment()?,
        }
        Ok(())
    }

    /// The condition still sees the names of the body.
    fn repeat(&mut self) -> Parsed<()> {
        self.advance()?;
        let names = self.scope.len();
        self.deeper(|p| {
            while !p.block_ends() {
                if p.token.is("return") {
                    return p.block();
                }
                p.statement()?;
            }
            Ok(())
        })?;
        self.expect("until")?;
        self.expression()?;
        self.scope.truncate(names);
        Ok(())
    }

    fn for_loop(&mut self) -> Parsed<()> {
        self.advance()?;
        let mut names = vec![self.name()?];
        while self.takes(",")? {
            names.push(self.name()?);
        }
        if !self.takes("=")? {
            self.expect("in")?;
        }
        self.expressions()?;
        self.expect("do")?;
        let scope = self.scope.len();
        for name in names {
            self.declare(name, None);
        }
        self.block()?;
        self.scope.truncate(scope);
        self.expect("end")
    }

    fn local(&mut self) -> Parsed<()> {
        self.advance()?;
        if self.takes("function")? {
            let name = self.name()?;
            self.declare(name, None);
            return self.function(false);
        }
        let mut names = Vec::new();
        loop {
            names.push(self.name()?);
            if self.takes("<")? {
                self.name()?;
                self.expect(">")?;
            }
            if !self.takes(",")? {
                break;
            }
        }
        let values = if self.takes("=")? { self.expressions()? } else { Vec::new() };
        for (i, name) in names.into_iter().enumerate() {
            let alias = match values.get(i) {
                Some(Seems::Global(global, _)) => Some(*global),
                Some(Seems::Local(other)) if !self.locals[*other].assigned => self.locals[*other].alias,
                _ => None,
            };
            self.declare(name, alias);
        }
        Ok(())
    }

    fn call_or_assignment(&mut self) -> Parsed<()> {
        let first = self.suffixed()?;
        if !(self.token.is("=") || self.token.is(",")) {
            self.read(first);
            return Ok(());
        }
        let mut targets = vec![first];
        while self.takes(",")? {
            targets.push(self.suffixed()?);
        }
        self.expect("=")?;
        self.expressions()?;
        for target in targets {
            self.set(target);
        }
        Ok(())
    }

    /// Parameters and body.
    fn function(&mut self, method: bool) -> Parsed<()> {
        let scope = self.scope.len();
        let fallback = std::mem::take(&mut self.fallback);
        if method {
            self.declare("self", None);
        }
        self.expect("(")?;
        while !self.token.is(")") {
            if !self.takes("...")? {
                let name = self.name()?;
                self.declare(name, None);
            }
            if !self.takes(",")? {
                break;
            }
        }
        self.expect(")")?;
        self.block()?;
        self.expect("end")?;
        self.scope.truncate(scope);
        self.fallback = fallback;
        Ok(())
    }

    // Expressions.

    fn expressions(&mut self) -> Parsed<Vec<Seems<'a>>> {
        let mut all = vec![self.expression()?];
        while self.takes(",")? {
            all.push(self.expression()?);
        }
        Ok(all)
    }

    /// Operators need no precedence here: every operand is read.
    fn expression(&mut self) -> Parsed<Seems<'a>> {
        self.deeper(|p| {
            let outer = std::mem::take(&mut p.fallback);
            let mut value = p.operand()?;
            p.fallback = p.asks();
            p.read(value);
            while p.operator() {
                p.fallback = p.advance()?.text == "or";
                let operand = p.operand()?;
                p.fallback |= p.asks();
                p.read(operand);
                value = Seems::Other;
            }
            p.fallback = outer;
            Ok(value)
        })
    }

    /// Is what was just read only asked for?
    fn asks(&self) -> bool {
        let compared = (self.token.is("==") || self.token.is("~=")) && self.ahead.is("nil");
        compared || ["and", "or", "then", "do"].iter().any(|word| self.token.is(word))
    }

    fn operator(&self) -> bool {
        if !matches!(self.token.kind, Kind::Keyword | Kind::Symbol) {
            return false;
        }
        const OPERATORS: [&str; 21] =
            ["+", "-", "*", "/", "//", "%", "^", "..", "==", "~=", "<", ">", "<=", ">=", "and", "or", "&", "|", "~", "<<", ">>"];
        OPERATORS.iter().any(|text| self.token.is(text))
    }

    fn operand(&mut self) -> Parsed<Seems<'a>> {
        let (mut plain, mut asked) = (true, false);
        while ["not", "-", "#", "~"].iter().any(|text| self.token.is(text)) {
            asked = self.advance()?.text == "not";
            plain = false;
        }
        let value = match (self.token.kind, self.token.text) {
            (Kind::Constant, _) | (Kind::Keyword, "nil" | "true" | "false") | (Kind::Symbol, "...") => {
                self.advance()?;
                Seems::Other
            }
            (Kind::Symbol, "{") => {
                self.table()?;
                Seems::Other
            }
            (Kind::Keyword, "function") => {
                self.advance()?;
                self.function(false)?;
                Seems::Other
            }
            _ => self.suffixed()?,
        };
        if plain {
            return Ok(value);
        }
        let outer = std::mem::replace(&mut self.fallback, asked);
        self.read(value);
        self.fallback = outer;
        Ok(Seems::Other)
    }

    /// A name or something in parentheses, and what follows it: fields, indices, calls.
    fn suffixed(&mut self) -> Parsed<Seems<'a>> {
        let line = self.token.line;
        let mut value = if self.takes("(")? {
            self.expression()?;
            self.expect(")")?;
            Seems::Other
        } else {
            let name = self.name()?;
            self.resolve(name, line)
        };
        loop {
            match (self.token.kind, self.token.text) {
                (Kind::Symbol, ".") => {
                    self.advance()?;
                    let line = self.token.line;
                    let field = self.name()?;
                    value = self.field_of(value, field, line);
                }
                (Kind::Symbol, "[") => {
                    self.advance()?;
                    self.read(value);
                    self.expression()?;
                    self.expect("]")?;
                    value = Seems::Other;
                }
                (Kind::Symbol, ":") => {
                    self.advance()?;
                    let line = self.token.line;
                    let method = self.name()?;
                    let called = self.field_of(value, method, line);
                    self.read(called);
                    self.found.calls.push((line, method));
                    self.arguments()?;
                    value = Seems::Other;
                }
                (Kind::Symbol, "(" | "{") => {
                    self.read(value);
                    self.arguments()?;
                    value = Seems::Other;
                }
                (Kind::Constant, text) if text.starts_with(['"', '\'', '[']) => {
                    self.read(value);
                    self.advance()?;
                    value = Seems::Other;
                }
                _ => return Ok(value),
            }
        }
    }

    fn arguments(&mut self) -> Parsed<()> {
        if self.takes("(")? {
            if !self.token.is(")") {
                self.expressions()?;
            }
            return self.expect(")");
        }
        if self.token.is("{") {
            return self.table();
        }
        if self.token.kind == Kind::Constant && self.token.text.starts_with(['"', '\'', '[']) {
            self.advance()?;
            return Ok(());
        }
        self.bad()
    }

    fn table(&mut self) -> Parsed<()> {
        self.expect("{")?;
        while !self.token.is("}") {
            if self.token.kind == Kind::Name && self.ahead.is("=") {
                let field = self.advance()?.text;
                self.found.fields.insert(field);
                self.advance()?;
            } else if self.takes("[")? {
                self.expression()?;
                self.expect("]")?;
                self.expect("=")?;
            }
            self.expression()?;
            if !self.takes(",")? && !self.takes(";")? {
                break;
            }
        }
        self.expect("}")
    }
}
