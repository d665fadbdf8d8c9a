//! The commands of a script of a shell, with the blocks, pipes and lists that they stand in.
//!
//! Nothing is expanded and nothing is run. What cannot be read holds no command.

/// How deep blocks may stand in each other.
const MOST_DEPTH: usize = 30;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word { text: String, quoted: bool },
    Sign(&'static str),
}

/// A command, or several in one.
#[derive(Debug)]
pub(super) enum Command {
    Simple(Vec<String>),
    /// `{ …; }`
    Block(Vec<Item>),
    /// `( … )`
    Inner(Vec<Item>),
    /// Each condition with what is done then, and what is done else.
    If(Vec<(Vec<Item>, Vec<Item>)>, Vec<Item>),
    /// The body: the condition of `while` and `until` ends nothing.
    Loop(Vec<Item>),
    Case(Vec<Vec<Item>>),
    Function(String, Box<Command>),
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

/// What stands between two ends of commands: pipes, each but the first with whether it runs only if what is before it fails.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) first: Pipe,
    pub(super) rest: Vec<(bool, Pipe)>,
    pub(super) aside: bool,
}

/// Reads a script.
pub(super) fn parse(script: &str) -> Vec<Item> {
    let script = script
        .replace("\\\r\n", " ")
        .replace("\\\n", " ")
        .replace('\r', "");
    let tokens = tokens(&script);
    let mut parser = Parser {
        tokens: &tokens,
        place: 0,
        depth: 0,
    };
    let mut items = Vec::new();
    // A word that ends nothing (`fi` by itself) is passed over.
    while parser.place < tokens.len() {
        items.extend(parser.list());
        parser.place += 1;
    }
    items
}

const SIGNS: &[&str] = &["&&", "||", ";;", "|&", "&", "|", ";", "\n", "(", ")"];

fn tokens(script: &str) -> Vec<Token> {
    let mut all = Vec::new();
    let mut rest = script;
    let mut word: Option<(String, bool)> = None;
    let mut here: Vec<String> = Vec::new();
    let mut here_next = false;
    while let Some(sign) = rest.chars().next() {
        let text = word.as_ref().map(|(text, _)| text.as_str());
        let opens = sign == '(' && text.is_some_and(|text| text.ends_with(['$', '<', '>', '=']))
            || sign == '{' && text.is_some_and(|text| text.ends_with('$'));
        // `2>&1` and `&>log` lead output elsewhere and end no command.
        let leads =
            sign == '&' && (text.is_some_and(|text| text.ends_with(['>', '<'])) || rest.starts_with("&>"));
        if opens || sign == '`' {
            let taken = balanced(rest);
            word.get_or_insert_default().0.push_str(&rest[..taken]);
            rest = &rest[taken..];
        } else if sign == '"' || sign == '\'' {
            let (inner, after) = quoted(&rest[1..], sign);
            let word = word.get_or_insert_default();
            word.0.push_str(&inner);
            word.1 = true;
            rest = after;
        } else if sign == '\\' {
            let mut signs = rest[1..].chars();
            word.get_or_insert_default().0.extend(signs.next());
            rest = signs.as_str();
        } else if sign == '#' && word.is_none() {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("<<") && !rest.starts_with("<<<") {
            push(&mut all, &mut word, &mut here, &mut here_next);
            here_next = true;
            rest = rest[2..].trim_start_matches('-');
            rest = rest.trim_start_matches([' ', '\t']);
        } else if let Some(known) = SIGNS.iter().find(|known| rest.starts_with(**known) && !leads) {
            push(&mut all, &mut word, &mut here, &mut here_next);
            all.push(Token::Sign(known));
            rest = &rest[known.len()..];
            if *known == "\n" {
                here_next = false;
                for end in here.drain(..) {
                    rest = after_line(rest, &end);
                }
            }
        } else if sign.is_whitespace() {
            push(&mut all, &mut word, &mut here, &mut here_next);
            rest = &rest[sign.len_utf8()..];
        } else {
            if ['<', '>'].contains(&sign)
                && text.is_some_and(|text| text.ends_with(|last: char| last.is_ascii_alphabetic()))
            {
                push(&mut all, &mut word, &mut here, &mut here_next);
            }
            word.get_or_insert_default().0.push(sign);
            rest = &rest[sign.len_utf8()..];
        }
    }
    push(&mut all, &mut word, &mut here, &mut here_next);
    all
}

/// Ends a word: it is one of a command, or ends the text that follows (`<<EOF`).
fn push(
    all: &mut Vec<Token>,
    word: &mut Option<(String, bool)>,
    here: &mut Vec<String>,
    here_next: &mut bool,
) {
    let Some((text, quoted)) = word.take() else { return };
    if std::mem::take(here_next) {
        here.push(text);
    } else {
        all.push(Token::Word { text, quoted });
    }
}

/// Returns what follows the line that holds a word alone; nothing where there is none.
fn after_line<'a>(text: &'a str, end: &str) -> &'a str {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        if line.trim() == end {
            break;
        }
    }
    rest
}

fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut inner = String::new();
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            _ if sign == quote => break,
            '\\' if quote == '"' => inner.extend(signs.next()),
            _ => inner.push(sign),
        }
    }
    (inner, signs.as_str())
}

/// Returns the bytes of what begins with a bracket or a backtick, to its end.
fn balanced(text: &str) -> usize {
    let (open, close) = match text.chars().next() {
        Some('(') => ('(', ')'),
        Some('{') => ('{', '}'),
        _ => return text[1..].find('`').map_or(text.len(), |end| end + 2),
    };
    let mut depth = 0;
    for (place, sign) in text.char_indices() {
        depth += i32::from(sign == open) - i32::from(sign == close);
        if depth == 0 {
            return place + sign.len_utf8();
        }
    }
    text.len()
}

struct Parser<'a> {
    tokens: &'a [Token],
    place: usize,
    depth: usize,
}

/// Words that end a list of commands.
const ENDS: &[&str] = &["then", "elif", "else", "fi", "do", "done", "esac", "}"];

impl Parser<'_> {
    fn sign(&self) -> Option<&'static str> {
        match self.tokens.get(self.place)? {
            Token::Sign(sign) => Some(sign),
            Token::Word { .. } => None,
        }
    }

    fn word(&self) -> Option<&str> {
        match self.tokens.get(self.place)? {
            Token::Word { text, quoted: false } => Some(text),
            Token::Word { .. } | Token::Sign(_) => None,
        }
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_next = self.sign() == Some(wanted) || self.word() == Some(wanted);
        self.place += usize::from(is_next);
        is_next
    }

    fn skip(&mut self, wanted: &[&str]) {
        while self.sign().is_some_and(|sign| wanted.contains(&sign)) {
            self.place += 1;
        }
    }

    /// Reads commands up to what can't begin one.
    fn list(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            self.place = self.tokens.len();
        }
        loop {
            self.skip(&["\n", ";", "&"]);
            if self.place >= self.tokens.len()
                || self.sign().is_some_and(|sign| sign != "(")
                || self.word().is_some_and(|word| ENDS.contains(&word))
            {
                break;
            }
            let first = self.pipe();
            let mut rest = Vec::new();
            while let Some(sign) = self.sign().filter(|sign| ["&&", "||"].contains(sign)) {
                self.place += 1;
                self.skip(&["\n"]);
                rest.push((sign == "||", self.pipe()));
            }
            let aside = self.sign() == Some("&");
            items.push(Item { first, rest, aside });
        }
        self.depth -= 1;
        items
    }

    fn pipe(&mut self) -> Pipe {
        let mut negated = false;
        while self.take("!") {
            negated = !negated;
        }
        let mut commands = vec![self.command()];
        while self.sign().is_some_and(|sign| ["|", "|&"].contains(&sign)) {
            self.place += 1;
            self.skip(&["\n"]);
            commands.push(self.command());
        }
        Pipe { negated, commands }
    }

    fn command(&mut self) -> Command {
        let command = if self.take("(") {
            let items = self.list();
            self.take(")");
            Command::Inner(items)
        } else if self.take("{") {
            let items = self.list();
            self.take("}");
            Command::Block(items)
        } else if self.take("if") {
            self.branches()
        } else if self.take("while") || self.take("until") {
            self.list();
            Command::Loop(self.body())
        } else if self.take("for") || self.take("select") {
            while self.place < self.tokens.len() && self.word() != Some("do") {
                self.place += 1;
            }
            Command::Loop(self.body())
        } else if self.take("case") {
            self.cases()
        } else if self.take("function") {
            let name = self.word().unwrap_or_default().to_owned();
            self.place += 1;
            self.function(name)
        } else {
            return self.simple();
        };
        // What a block is led to: `} > log 2>&1`.
        while self.word().is_some_and(|word| leads(word).is_some()) {
            self.place += leads(self.word().unwrap_or_default()).unwrap_or(1);
        }
        command
    }

    fn function(&mut self, name: String) -> Command {
        if self.take("(") {
            self.take(")");
        }
        self.skip(&["\n"]);
        self.depth += 1;
        let body = if self.depth > MOST_DEPTH {
            Command::Block(Vec::new())
        } else {
            self.command()
        };
        self.depth -= 1;
        Command::Function(name, Box::new(body))
    }

    fn branches(&mut self) -> Command {
        let mut branches = Vec::new();
        loop {
            let condition = self.list();
            self.take("then");
            branches.push((condition, self.list()));
            if !self.take("elif") {
                break;
            }
        }
        let mut other = Vec::new();
        if self.take("else") {
            other = self.list();
        }
        self.take("fi");
        Command::If(branches, other)
    }

    fn body(&mut self) -> Vec<Item> {
        self.take("do");
        let body = self.list();
        self.take("done");
        body
    }

    fn cases(&mut self) -> Command {
        while self.place < self.tokens.len() && !self.take("in") {
            self.place += 1;
        }
        let mut bodies = Vec::new();
        loop {
            self.skip(&["\n", ";;", ";"]);
            if self.place >= self.tokens.len() || self.take("esac") {
                break;
            }
            while self.place < self.tokens.len() && !self.take(")") {
                self.place += 1;
            }
            bodies.push(self.list());
            if self.sign() != Some(";;") {
                self.take("esac");
                break;
            }
        }
        Command::Case(bodies)
    }

    fn simple(&mut self) -> Command {
        let mut words: Vec<String> = Vec::new();
        // `[[ a && b ]]` is one command.
        let test = self.word() == Some("[[");
        while let Some(token) = self.tokens.get(self.place) {
            match token {
                Token::Word { text, quoted } => {
                    let taken = (!quoted).then(|| leads(text)).flatten();
                    if let Some(taken) = taken.filter(|_| !test) {
                        self.place += taken;
                        continue;
                    }
                    words.push(text.clone());
                    self.place += 1;
                    if test && text == "]]" {
                        break;
                    }
                }
                Token::Sign("(") if words.len() == 1 && !test => {
                    return self.function(words.remove(0));
                }
                Token::Sign("\n") => break,
                Token::Sign(_) if !test => break,
                Token::Sign(_) => self.place += 1,
            }
        }
        Command::Simple(words)
    }
}

/// Returns how many words lead output or input elsewhere, beginning with this one; none if it leads nothing.
fn leads(word: &str) -> Option<usize> {
    let rest = word
        .trim_start_matches(|sign: char| sign.is_ascii_digit())
        .trim_start_matches('&');
    let target = rest
        .strip_prefix(">>")
        .or_else(|| rest.strip_prefix("<<<"))
        .or_else(|| rest.strip_prefix(['>', '<']))?;
    Some(if target.is_empty() { 2 } else { 1 })
}
