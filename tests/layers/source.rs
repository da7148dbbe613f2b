//! What one Rust file imports, re-exports and defines, outside `#[cfg(test)]`.
//!
//! Owns the reading of Rust source as far as the checks need it: comments, literals, attributes for
//! tests, `use` trees, paths in code, and inline modules. Knows no file and no rule. Macro bodies
//! are read as code; a path that a macro builds from parts is not seen.

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Sign(char),
}

/// Splits Rust source into words and signs, without comments, strings and characters.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while at < chars.len() {
        let rest = &chars[at..];
        if rest.starts_with(&['/', '/']) {
            at += rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
        } else if rest.starts_with(&['/', '*']) {
            at += 2 + rest.windows(2).position(|two| two == ['*', '/']).unwrap_or(rest.len());
        } else if let Some(length) = string_length(rest) {
            at += length;
        } else if is_word(rest[0]) {
            let word: String = rest.iter().take_while(|c| is_word(**c)).collect();
            at += word.chars().count();
            tokens.push(Token::Word(word));
        } else {
            if !rest[0].is_whitespace() {
                tokens.push(Token::Sign(rest[0]));
            }
            at += 1;
        }
    }
    tokens
}

/// The length of the string or character literal, or of the lifetime, that begins here.
fn string_length(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| ['b', 'c', 'r'].contains(c)).count();
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let raw = rest[..prefix].contains(&'r');
    let open = prefix + if raw { hashes } else { 0 };
    let escaped_end = |quote: char| {
        let mut at = open + 1;
        while at < rest.len() && rest[at] != quote {
            at += if rest[at] == '\\' { 2 } else { 1 };
        }
        at + 1
    };
    match rest.get(open) {
        Some('"') if raw => {
            let mut end = vec!['"'];
            end.extend(std::iter::repeat_n('#', hashes));
            let body = &rest[open + 1..];
            let at = body.windows(end.len()).position(|window| window == end);
            Some(open + 1 + at.unwrap_or(body.len()) + end.len())
        }
        Some('"') => Some(escaped_end('"')),
        // 'a' and '\n' are characters; 'a without a second quote is a lifetime.
        Some('\'') if rest.get(open + 1) == Some(&'\\') || rest.get(open + 2) == Some(&'\'') => {
            Some(escaped_end('\''))
        }
        Some('\'') if prefix == 0 => Some(1),
        _ => None,
    }
}

/// A module path; the name of its crate comes first.
pub type Module = Vec<String>;

/// What the source of one file defines and uses, outside tests.
#[derive(Default)]
pub struct Source {
    /// Paths with `crate`, `super` and `self` resolved. One that begins with neither these nor a
    /// known crate is resolved as a path below this module.
    pub imports: Vec<Module>,
    /// Paths as they are written.
    pub written: Vec<String>,
    /// The name of each item that a `pub use` makes available here, and the path of its origin. A
    /// glob has the name `*` and the path of its module.
    pub exports: Vec<(String, Module)>,
    /// The names of the structs, enums, traits and type aliases; associated types are left out.
    pub types: Vec<String>,
    /// Child modules that are compiled for tests only.
    pub test_modules: Vec<String>,
}

impl Source {
    /// Reads the text of the file that is `module`; `crates` are the known crates.
    pub fn parse(text: &str, module: &[String], crates: &[&str]) -> Source {
        let (tokens, open, source) = (tokens(text), Vec::new(), Source::default());
        Parser { tokens: &tokens, at: 0, crates, module, open, source }.run()
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    crates: &'a [&'a str],
    module: &'a [String],
    /// Each open brace; the name if it is that of an inline module.
    open: Vec<Option<String>>,
    source: Source,
}

impl Parser<'_> {
    fn word(&self, ahead: usize) -> Option<&str> {
        match self.tokens.get(self.at + ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn sign(&self, ahead: usize, sign: char) -> bool {
        self.tokens.get(self.at + ahead) == Some(&Token::Sign(sign))
    }

    fn path_separator(&self, ahead: usize) -> bool {
        self.sign(ahead, ':') && self.sign(ahead + 1, ':')
    }

    fn run(mut self) -> Source {
        while self.at < self.tokens.len() {
            if self.skip_test_item() {
                continue;
            }
            let outside = self.open.iter().all(Option::is_some);
            match self.word(0).map(str::to_owned).as_deref() {
                Some("use") => {
                    let exported = self.at > 0 && self.is_public();
                    self.at += 1;
                    self.use_tree(Vec::new(), exported);
                    continue;
                }
                Some("mod") if self.sign(2, '{') => {
                    let name = self.word(1).unwrap().to_owned();
                    self.open.push(Some(name));
                    self.at += 3;
                    continue;
                }
                Some("struct" | "enum" | "trait") => {
                    self.source.types.extend(self.word(1).map(str::to_owned));
                }
                Some("type") if outside => {
                    self.source.types.extend(self.word(1).map(str::to_owned));
                }
                Some(_) if self.path_separator(1) && !self.follows_path() => {
                    let path = self.path();
                    self.add(path, None);
                    continue;
                }
                _ => {}
            }
            if self.sign(0, '{') {
                self.open.push(None);
            } else if self.sign(0, '}') {
                self.open.pop();
            }
            self.at += 1;
        }
        self.source
    }

    /// Whether `pub` or `pub(...)` precedes the current word.
    fn is_public(&self) -> bool {
        let before = &self.tokens[..self.at];
        let before = match before.last() {
            Some(Token::Sign(')')) => {
                &before[..before.iter().rposition(|t| *t == Token::Sign('(')).unwrap_or(0)]
            }
            _ => before,
        };
        before.last() == Some(&Token::Word("pub".to_owned()))
    }

    fn follows_path(&self) -> bool {
        self.at > 0 && self.tokens[self.at - 1] == Token::Sign(':')
    }

    /// Skips `#[cfg(test)]` and its item, and keeps the name of the item if it is a module's file.
    fn skip_test_item(&mut self) -> bool {
        let pattern = ["#", "[", "cfg", "(", "test", ")", "]"];
        let is_attribute = pattern.iter().enumerate().all(|(ahead, text)| {
            self.word(ahead) == Some(text) || self.sign(ahead, text.chars().next().unwrap())
        });
        if !is_attribute {
            return false;
        }
        self.at += pattern.len();
        let mut depth = 0;
        while self.at < self.tokens.len() {
            if self.word(0) == Some("mod") && self.sign(2, ';') {
                self.source.test_modules.extend(self.word(1).map(str::to_owned));
            }
            let (opens, closes) = (self.sign(0, '{'), self.sign(0, '}'));
            depth += i32::from(opens) - i32::from(closes);
            let ends = depth == 0 && (closes || self.sign(0, ';') || self.sign(0, ','));
            self.at += 1;
            if ends {
                break;
            }
        }
        true
    }

    fn path(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while let Some(word) = self.word(0) {
            path.push(word.to_owned());
            self.at += 1;
            if !self.path_separator(0) {
                break;
            }
            self.at += 2;
        }
        path
    }

    /// Reads what follows `use`, or a branch of it, up to its `,`, `}` or `;`.
    fn use_tree(&mut self, prefix: Vec<String>, exported: bool) {
        let mut path = prefix;
        if self.path_separator(0) {
            self.at += 2;
        }
        path.extend(self.path());
        if self.sign(0, '{') {
            self.at += 1;
            while !self.sign(0, '}') {
                self.use_tree(path.clone(), exported);
                if self.sign(0, ',') {
                    self.at += 1;
                }
            }
            self.at += 1;
            return;
        }
        let glob = self.sign(0, '*');
        if glob {
            self.at += 1;
        }
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let last = || path.last().cloned().unwrap_or_default();
        let mut name = if glob { "*".to_owned() } else { last() };
        if self.word(0) == Some("as") {
            name = self.word(1).unwrap_or_default().to_owned();
            self.at += 2;
        }
        self.add(path, exported.then_some(name));
    }

    /// Keeps a path as an import, and as an export if it has a name as one.
    fn add(&mut self, path: Vec<String>, export: Option<String>) {
        self.source.written.push(path.join("::"));
        let mut base = self.module.to_vec();
        base.extend(self.open.iter().flatten().cloned());
        let mut rest = path.as_slice();
        match path.first().map(String::as_str) {
            None => return,
            Some("crate") => {
                base.truncate(1);
                rest = &rest[1..];
            }
            Some("self") => rest = &rest[1..],
            Some("super") => {
                while rest.first().is_some_and(|word| word == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            Some(name) if self.crates.contains(&name) => base.clear(),
            Some(_) => {}
        }
        base.extend_from_slice(rest);
        if let Some(name) = export {
            self.source.exports.push((name, base.clone()));
        }
        self.source.imports.push(base);
    }
}
