//! What a credential looks like: by its own form, or by the name that it is given and how random it is.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexSet};

/// Forms that say by themselves what they are; the documentation of each issuer gives them.
const FORMS: &[(&str, &str)] = &[
    (
        "private key",
        r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |PGP |ENCRYPTED )?PRIVATE KEY",
    ),
    ("key of Amazon Web Services", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    (
        "token of GitHub",
        r"\b(?:gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{60,})\b",
    ),
    ("token of GitLab", r"\bglpat-[0-9A-Za-z_-]{20,}"),
    ("token of Slack", r"\bxox[abprs]-[0-9A-Za-z-]{20,}"),
    ("key of Google", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("key of Stripe", r"\b[rs]k_live_[0-9A-Za-z]{20,}"),
    (
        "key of a model provider",
        r"\bsk-(?:ant-|proj-)[0-9A-Za-z_-]{20,}",
    ),
    ("token of Hugging Face", r"\bhf_[0-9A-Za-z]{34}\b"),
    ("token of npm", r"\bnpm_[0-9A-Za-z]{36}\b"),
    ("token of PyPI", r"\bpypi-AgEIcHlwaS5vcmc[0-9A-Za-z_-]{20,}"),
    ("token of Docker Hub", r"\bdckr_pat_[0-9A-Za-z_-]{20,}"),
    (
        "password in an address",
        r"\b[a-z][a-z0-9+]{2,15}://[^\s:/@'\x22<>{}$]{1,64}:([^\s:/@'\x22<>{}$]{6,128})@[0-9A-Za-z.-]+",
    ),
    (
        IN_A_SETTING,
        r#"(?i)(?:password|passwd|secret|token|api_?key|access_?key)["']?\s*[:=]\s*["']([0-9A-Za-z+/=_.!@#%^&*-]{12,128})["']"#,
    ),
];

/// What only the name tells that it is given.
const IN_A_SETTING: &str = "credential in a setting";

/// Words by which people mark what is no credential.
/// The default password of an image is as well known.
const PLACEHOLDERS: &[&str] = &[
    "example",
    "changeme",
    "change_me",
    "placeholder",
    "your",
    "xxxx",
    "dummy",
    "password",
    "secret",
    "sample",
    "1234567890",
    "redacted",
    "postgres",
];
/// The least bits a letter of a credential that only its name tells: words of a language have fewer, random letters more.
const LEAST_BITS: f64 = 3.3;
/// The letters of a credential that a report shows.
const SHOWN: usize = 4;

static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new(FORMS.iter().map(|(_, form)| form)).unwrap_or_else(|error| unreachable!("{error}"))
});
static EACH: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compiled = |form: &str| Regex::new(form).unwrap_or_else(|error| unreachable!("{error}"));
    FORMS.iter().map(|(_, form)| compiled(form)).collect()
});

/// What looks like a credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Credential {
    pub(super) line: usize,
    pub(super) kind: &'static str,
    /// The credential itself, which is for comparing and never for showing.
    pub(super) text: String,
}

impl Credential {
    /// Returns the first letters, which are enough to find it and too few to use it.
    pub(super) fn shown(&self) -> String {
        let first: String = self.text.chars().take(SHOWN).collect();
        format!("{first}…")
    }
}

/// Returns what looks like a credential in a file, by line.
pub(super) fn credentials(content: &[u8]) -> Vec<Credential> {
    let mut found = Vec::new();
    for form in SET.matches(content) {
        for captures in EACH[form].captures_iter(content) {
            let Some(told) = captures.get(1).or_else(|| captures.get(0)) else {
                continue;
            };
            let text = String::from_utf8_lossy(told.as_bytes()).into_owned();
            // A name in front of it alone says little: what follows must look random.
            let vague = FORMS[form].0 == IN_A_SETTING;
            if is_placeholder(&text) || vague && bits_per_letter(told.as_bytes()) < LEAST_BITS {
                continue;
            }
            let line = 1 + content[..told.start()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            let kind = FORMS[form].0;
            found.push(Credential { line, kind, text });
        }
    }
    found.sort();
    found
}

fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| lower.contains(word))
}

/// Returns Shannon's entropy of the letters, in bits a letter.
fn bits_per_letter(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[*byte as usize] += 1;
    }
    let n = text.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / n)
        .map(|share| -share * libm::log2(share))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<&'static str> {
        credentials(text.as_bytes())
            .into_iter()
            .map(|credential| credential.kind)
            .collect()
    }

    #[test]
    fn credentials_are_told_from_what_only_looks_like_them() {
        // Put together here, so that no file of ours holds what looks like one.
        let random = "q7Zp2XvL9sT4mK8wR3bN";
        for (text, wanted) in [
            (
                format!("key = AKIA{}", "Z7QX3LM9PT2VB6KD"),
                vec!["key of Amazon Web Services"],
            ),
            (format!("aws AKIA{}", "IOSFODNN7EXAMPLE"), vec![]),
            (
                format!("-----BEGIN RSA {} KEY-----", "PRIVATE"),
                vec!["private key"],
            ),
            ("-----BEGIN PUBLIC KEY-----".to_owned(), vec![]),
            (
                format!("password = \"{random}\""),
                vec!["credential in a setting"],
            ),
            ("password = \"your-password-here\"".to_owned(), vec![]),
            ("token = \"aaaaaaaaaaaaaaaa\"".to_owned(), vec![]),
            ("password = os.environ[\"DATABASE_PASSWORD\"]".to_owned(), vec![]),
            (
                format!("postgres://team:{random}@db.local/x"),
                vec!["password in an address"],
            ),
            ("postgres://team:$PASSWORD@db.local/x".to_owned(), vec![]),
            (
                "amqp://team:hunter22@queue.local".to_owned(),
                vec!["password in an address"],
            ),
            ("postgres://postgres:postgres@db/x".to_owned(), vec![]),
            ("http://localhost:8082/recommend/1".to_owned(), vec![]),
            ("tokens = 3".to_owned(), vec![]),
        ] {
            assert_eq!(kinds(&text), wanted, "{text}");
        }
        let two = format!("a\n\"api_key\": '{random}'\n");
        let found = credentials(two.as_bytes());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].shown().as_str()), (2, "q7Zp…"));
    }
}
