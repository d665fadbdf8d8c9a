//! Conditions of the systems' own small languages, as far as a push to one branch decides them.
//!
//! GitHub, GitLab, Travis and CircleCI write `==`, `!=`, `=~`, `&&`, `||`, `!`, `AND`, `IN (…)` and brackets much alike. What a
//! variable of somebody else's holds stays open, and so does what depends on it.

/// The longest condition that is looked at.
const MOST_BYTES: usize = 4 << 10;
/// How deep brackets may stand in each other.
const MOST_DEPTH: usize = 30;

/// What something is, if it is known.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Truth(bool),
    Pattern(String),
    Open,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Text(String),
    Name(String),
    Pattern(String),
    Sign(&'static str),
}

/// Returns whether a condition is met; none if it can't be told. `lookup` says what a name stands for.
pub(super) fn met(condition: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<bool> {
    let condition = condition.trim();
    let inner = condition
        .strip_prefix("${{")
        .and_then(|rest| rest.strip_suffix("}}"));
    let text = inner.unwrap_or(condition);
    if text.len() > MOST_BYTES || text.contains("${{") {
        return None;
    }
    let tokens = tokens(text)?;
    let mut reader = Reader {
        tokens: &tokens,
        place: 0,
        depth: 0,
        lookup,
    };
    let value = reader.either()?;
    (reader.place == tokens.len()).then(|| truth(&value))?
}

const SIGNS: &[&str] = &["==", "!=", "=~", "!~", "&&", "||", "!", "=", "(", ")", ","];

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(sign) = rest.chars().next() {
        let after_match = matches!(all.last(), Some(Token::Sign("=~" | "!~")));
        if sign == '\'' || sign == '"' {
            let end = rest[1..].find(sign)? + 1;
            all.push(Token::Text(rest[1..end].to_owned()));
            rest = &rest[end + 1..];
        } else if sign == '/' && after_match {
            let end = rest[1..].find('/')? + 1;
            let (pattern, after) = (&rest[1..end], &rest[end + 1..]);
            let folded = after.starts_with('i');
            all.push(Token::Pattern(if folded {
                format!("(?i){pattern}")
            } else {
                pattern.to_owned()
            }));
            rest = after.trim_start_matches('i');
        } else if let Some(known) = SIGNS.iter().find(|known| rest.starts_with(**known)) {
            all.push(Token::Sign(known));
            rest = &rest[known.len()..];
        } else {
            let end = rest
                .find(|sign: char| !(sign.is_alphanumeric() || "_.-$*^/\\{}[]+?:".contains(sign)))
                .unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            all.push(Token::Name(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Some(all)
}

struct Reader<'a> {
    tokens: &'a [Token],
    place: usize,
    depth: usize,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn take(&mut self, wanted: &[&str]) -> bool {
        let is_next = match self.tokens.get(self.place) {
            Some(Token::Sign(sign)) => wanted.contains(sign),
            Some(Token::Name(name)) => wanted.contains(&name.as_str()),
            _ => false,
        };
        self.place += usize::from(is_next);
        is_next
    }

    fn either(&mut self) -> Option<Value> {
        let mut value = self.both()?;
        while self.take(&["||", "OR", "or"]) {
            let other = self.both()?;
            value = match (truth(&value), truth(&other)) {
                (Some(true), _) | (_, Some(true)) => Value::Truth(true),
                (Some(false), Some(false)) => Value::Truth(false),
                _ => Value::Open,
            };
        }
        Some(value)
    }

    fn both(&mut self) -> Option<Value> {
        let mut value = self.compared()?;
        while self.take(&["&&", "AND", "and"]) {
            let other = self.compared()?;
            value = match (truth(&value), truth(&other)) {
                (Some(false), _) | (_, Some(false)) => Value::Truth(false),
                (Some(true), Some(true)) => Value::Truth(true),
                _ => Value::Open,
            };
        }
        Some(value)
    }

    fn compared(&mut self) -> Option<Value> {
        let left = self.one()?;
        for (signs, same) in [(["==", "="], true), (["!=", "!="], false)] {
            if self.take(&signs) {
                let right = self.one()?;
                return Some(equal(&left, &right).map_or(Value::Open, |equal| Value::Truth(equal == same)));
            }
        }
        for (sign, fits) in [("=~", true), ("!~", false)] {
            if self.take(&[sign]) {
                let pattern = self.one()?;
                return Some(
                    matched(&left, &pattern).map_or(Value::Open, |found| Value::Truth(found == fits)),
                );
            }
        }
        if self.take(&["IS"]) {
            let negated = self.take(&["NOT"]);
            let wanted = self.take(&["present"]);
            let blank = !wanted && self.take(&["blank"]);
            return Some(match &left {
                Value::Text(text) if wanted || blank => Value::Truth((text.is_empty() == blank) != negated),
                _ => Value::Open,
            });
        }
        let negated = self.take(&["NOT"]);
        if self.take(&["IN"]) && self.take(&["("]) {
            let mut found = Some(false);
            while !self.take(&[")"]) {
                let item = self.one()?;
                found = match (found, equal(&left, &item)) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                };
                self.take(&[","]);
            }
            return Some(found.map_or(Value::Open, |found| Value::Truth(found != negated)));
        }
        Some(left)
    }

    fn one(&mut self) -> Option<Value> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return None;
        }
        let value = self.one_inner();
        self.depth -= 1;
        value
    }

    fn one_inner(&mut self) -> Option<Value> {
        let word = self.take(&["NOT", "not"]);
        if word || self.take(&["!"]) {
            // The word is of a whole comparison, the sign of what comes next.
            let value = if word { self.compared()? } else { self.one()? };
            return Some(truth(&value).map_or(Value::Open, |truth| Value::Truth(!truth)));
        }
        if self.take(&["("]) {
            let value = self.either()?;
            return self.take(&[")"]).then_some(value);
        }
        let token = self.tokens.get(self.place)?;
        self.place += 1;
        Some(match token {
            Token::Text(text) => Value::Text(text.clone()),
            Token::Pattern(pattern) => Value::Pattern(pattern.clone()),
            Token::Sign(_) => return None,
            Token::Name(name) if self.take(&["("]) => {
                let mut given = Vec::new();
                while !self.take(&[")"]) {
                    given.push(self.either()?);
                    self.take(&[","]);
                }
                called(name, &given)
            }
            Token::Name(name) => match name.as_str() {
                "true" => Value::Truth(true),
                "false" => Value::Truth(false),
                "null" => Value::Text(String::new()),
                _ if name.bytes().all(|byte| byte.is_ascii_digit()) => Value::Text(name.clone()),
                _ => (self.lookup)(name).map_or(Value::Open, Value::Text),
            },
        })
    }
}

/// What a function of GitHub's gives when all is well so far.
fn called(name: &str, given: &[Value]) -> Value {
    let texts = match given {
        [Value::Text(first), Value::Text(second)] => Some((first.to_lowercase(), second.to_lowercase())),
        _ => None,
    };
    match (name, texts) {
        ("always" | "success", _) => Value::Truth(true),
        ("failure" | "cancelled", _) => Value::Truth(false),
        ("startsWith", Some((text, part))) => Value::Truth(text.starts_with(&part)),
        ("endsWith", Some((text, part))) => Value::Truth(text.ends_with(&part)),
        ("contains", Some((text, part))) => Value::Truth(text.contains(&part)),
        _ => Value::Open,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Truth(truth) => Some(*truth),
        Value::Text(text) => Some(!text.is_empty() && text != "0"),
        Value::Pattern(_) | Value::Open => None,
    }
}

fn equal(left: &Value, right: &Value) -> Option<bool> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Some(left.eq_ignore_ascii_case(right)),
        (Value::Truth(left), Value::Truth(right)) => Some(left == right),
        (Value::Truth(truth), Value::Text(text)) | (Value::Text(text), Value::Truth(truth)) => {
            Some(text == if *truth { "true" } else { "false" })
        }
        _ => None,
    }
}

fn matched(value: &Value, pattern: &Value) -> Option<bool> {
    let (Value::Text(text), Value::Pattern(pattern)) = (value, pattern) else {
        return None;
    };
    Some(regex::Regex::new(pattern).ok()?.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let known = match name {
            "github.event_name" | "type" | "$SOURCE" => "push",
            "github.ref" => "refs/heads/main",
            "branch" | "main" => "main",
            "$TAG" | "tag" => "",
            "pull_request" | "push" | "cron" | "dev" => name,
            _ => return None,
        };
        Some(known.to_owned())
    }

    #[test]
    fn a_condition_is_met_or_not_or_stays_open() {
        for (condition, wanted) in [
            ("github.event_name == 'push'", Some(true)),
            ("${{ github.event_name != 'push' }}", Some(false)),
            ("github.ref == 'refs/heads/release'", Some(false)),
            (
                "github.event_name == 'pull_request' || github.ref == 'refs/heads/main'",
                Some(true),
            ),
            ("!(github.event_name == 'push')", Some(false)),
            ("startsWith(github.ref, 'refs/tags/')", Some(false)),
            ("always() && vars.X == 'y'", None),
            ("false && vars.X == 'y'", Some(false)),
            ("failure()", Some(false)),
            ("contains(github.event.head_commit.message, 'x')", None),
            ("$SOURCE =~ /^re/", Some(false)),
            ("$SOURCE =~ /^pu/ && $TAG == null", Some(true)),
            ("$TAG", Some(false)),
            ("type IN (pull_request, cron)", Some(false)),
            ("type = push AND branch IN (main, dev)", Some(true)),
            ("tag IS present", Some(false)),
            ("NOT type = cron", Some(true)),
            ("type NOT IN (cron)", Some(true)),
            ("a b c", None),
            ("", None),
            ("((((", None),
        ] {
            assert_eq!(met(condition, &lookup), wanted, "{condition}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_condition_is_read(text in "(==|!=|=~|!|&&|\\|\\||\\(|\\)|'|/|,| |IN|NOT|IS|push|type|\\$TAG|always){0,60}") {
            met(&text, &lookup);
        }
    }
}
