//! Tokens of a `setup.py` → the arguments of its call of `setup`.

use super::Value;
use super::tokens::Token;
use std::collections::{BTreeMap, BTreeSet};

/// What may be imported from setuptools.
const IMPORTED: [&str; 3] = ["setup", "find_packages", "find_namespace_packages"];
/// Deeper nesting is refused.
const MOST_LEVELS: usize = 20;

/// The arguments of the only call; `None` if the script does anything else.
pub(super) fn setup_call(tokens: Vec<(Token, bool)>) -> Option<BTreeMap<String, Value>> {
    let mut script = Script { tokens, at: 0, imported: BTreeSet::new(), constants: BTreeMap::new() };
    let mut is_in_block = false;
    loop {
        while script.takes(&Token::End) {}
        // Only the block of `if __name__ == "__main__":` is indented.
        (script.tokens.get(script.at)?.1 != is_in_block).then_some(())?;
        match script.next()? {
            Token::Text(_) if !is_in_block => {
                while matches!(script.peek(), Some(Token::Text(_))) {
                    script.at += 1
                }
            }
            Token::Name(name) if name == "import" && !is_in_block => {
                script.takes_name("setuptools").then_some(())?;
                script.imported.insert("setuptools".into());
            }
            Token::Name(name) if name == "from" && !is_in_block => script.import()?,
            Token::Name(name) if name == "if" && !is_in_block => {
                let main = Token::Text("__main__".into());
                let is_main = script.takes_name("__name__")
                    && script.takes(&Token::Symbol('='))
                    && script.takes(&Token::Symbol('='))
                    && script.takes(&main)
                    && script.takes(&Token::Symbol(':'));
                is_main.then_some(())?;
                is_in_block = true;
            }
            Token::Name(name) if script.is_function(&name, &["setup"])? => {
                let arguments = script.arguments(0)?;
                while script.takes(&Token::End) {}
                let named = arguments.into_iter().map(|(keyword, value)| Some((keyword?, value)));
                return named.collect::<Option<_>>().filter(|_| script.peek().is_none());
            }
            Token::Name(name) if !is_in_block && script.takes(&Token::Symbol('=')) => {
                let is_free = name != "setuptools" && !IMPORTED.contains(&name.as_str());
                is_free.then_some(())?;
                let value = script.value(0)?;
                script.constants.insert(name, value);
            }
            _ => return None,
        }
        script.takes(&Token::End).then_some(())?;
    }
}

struct Script {
    tokens: Vec<(Token, bool)>,
    at: usize,
    imported: BTreeSet<String>,
    constants: BTreeMap<String, Value>,
}

impl Script {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek()?.clone();
        self.at += 1;
        Some(token)
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is_next = self.peek() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    fn takes_name(&mut self, name: &str) -> bool {
        self.takes(&Token::Name(name.into()))
    }

    fn name(&mut self) -> Option<String> {
        if let Token::Name(name) = self.next()? { Some(name) } else { None }
    }

    /// The rest of `from setuptools import a, b`.
    fn import(&mut self) -> Option<()> {
        (self.takes_name("setuptools") && self.takes_name("import")).then_some(())?;
        let is_open = self.takes(&Token::Symbol('('));
        loop {
            let name = self.name().filter(|name| IMPORTED.contains(&name.as_str()))?;
            self.imported.insert(name);
            let goes_on = self.takes(&Token::Symbol(','));
            if is_open && self.takes(&Token::Symbol(')')) || !is_open && !goes_on {
                return Some(());
            }
            goes_on.then_some(())?;
        }
    }

    /// Whether `name`, which was just read, begins a call of one of these functions of setuptools, up to its bracket.
    /// `None` if it is another call.
    fn is_function(&mut self, name: &str, functions: &[&str]) -> Option<bool> {
        let (mut function, mut is_known) = (name.to_string(), self.imported.contains(name));
        if name == "setuptools" && self.takes(&Token::Symbol('.')) {
            function = self.name()?;
            is_known = self.imported.contains(name);
        }
        if !self.takes(&Token::Symbol('(')) {
            return Some(false);
        }
        (is_known && functions.contains(&function.as_str())).then_some(true)
    }

    /// Arguments up to the closing bracket, with their keywords.
    fn arguments(&mut self, level: usize) -> Option<Vec<(Option<String>, Value)>> {
        let (mut arguments, mut seen) = (Vec::new(), BTreeSet::new());
        while !self.takes(&Token::Symbol(')')) {
            let assigned =
                self.tokens.get(self.at + 1).is_some_and(|(token, _)| *token == Token::Symbol('='));
            let keyword = if assigned { Some(self.name()?) } else { None };
            assigned.then(|| self.next());
            let is_new = keyword.as_ref().is_none_or(|keyword| seen.insert(keyword.clone()));
            is_new.then_some(())?;
            arguments.push((keyword, self.value(level)?));
            if !self.takes(&Token::Symbol(',')) {
                self.takes(&Token::Symbol(')')).then_some(())?;
                break;
            }
        }
        Some(arguments)
    }

    fn value(&mut self, level: usize) -> Option<Value> {
        (level < MOST_LEVELS).then_some(())?;
        match self.next()? {
            Token::Text(mut text) => {
                while let Some(Token::Text(more)) = self.peek() {
                    text += more;
                    self.at += 1;
                }
                Some(Value::Text(text))
            }
            Token::Number => Some(Value::Other),
            Token::Symbol('[') => Some(Value::List(self.items(']', level)?.0)),
            Token::Symbol('(') => match self.items(')', level)? {
                (mut items, false) if items.len() == 1 => items.pop(),
                (items, _) => Some(Value::List(items)),
            },
            Token::Symbol('{') => self.table(level),
            Token::Name(name) if ["True", "False", "None"].contains(&name.as_str()) => Some(Value::Other),
            Token::Name(name) => match self.is_function(&name, &IMPORTED[1..])? {
                true => {
                    let arguments = self.arguments(level + 1)?;
                    Some(Value::List(arguments.into_iter().map(|(_, value)| value).collect()))
                }
                false => self.constants.get(&name).cloned(),
            },
            _ => None,
        }
    }

    /// Items up to a closing bracket, and whether there was a comma.
    fn items(&mut self, close: char, level: usize) -> Option<(Vec<Value>, bool)> {
        let (mut items, mut has_comma) = (Vec::new(), false);
        while !self.takes(&Token::Symbol(close)) {
            items.push(self.value(level + 1)?);
            if !self.takes(&Token::Symbol(',')) {
                self.takes(&Token::Symbol(close)).then_some(())?;
                break;
            }
            has_comma = true;
        }
        Some((items, has_comma))
    }

    fn table(&mut self, level: usize) -> Option<Value> {
        let mut entries = Vec::new();
        while !self.takes(&Token::Symbol('}')) {
            let key = self.value(level + 1)?;
            self.takes(&Token::Symbol(':')).then_some(())?;
            entries.push((key, self.value(level + 1)?));
            if !self.takes(&Token::Symbol(',')) {
                self.takes(&Token::Symbol('}')).then_some(())?;
                break;
            }
        }
        Some(Value::Table(entries))
    }
}
