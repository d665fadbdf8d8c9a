//! What a credential looks like: by its own form, or by the name that it is given and how random it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
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
        r"\bsk-(?:(?:ant-|proj-|svcacct-)[0-9A-Za-z_-]{20,}|[0-9A-Za-z]{48}\b)",
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
    // `TOKEN=…` of a shell or an `.env` file, `password: …` of YAML, `key = …` of an INI file: to the end of a word.
    (
        BARE,
        r#"(?im)(?:^|[\s"'`,;?&])[0-9A-Za-z_.-]*(?:password|passwd|secret|token|api_?key|access_?key)(?:=|[ \t]*[:=][ \t]+)([0-9A-Za-z+/=_.!@%^*~-]{12,128})"#,
    ),
];

/// What only the name tells that it is given.
const IN_A_SETTING: &str = "credential in a setting";
/// The same without quotation marks, where names and calls of a program stand as well.
const BARE: &str = "credential in a setting without quotation marks";

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
    let Some(content) = readable(content) else {
        return Vec::new();
    };
    let content = &content[..];
    let mut found = Vec::new();
    for form in SET.matches(content) {
        for captures in EACH[form].captures_iter(content) {
            let Some(told) = captures.get(1).or_else(|| captures.get(0)) else {
                continue;
            };
            let text = String::from_utf8_lossy(told.as_bytes()).into_owned();
            // A name in front of it alone says little: what follows must look random.
            let kind = FORMS[form].0;
            let is_random = match kind {
                IN_A_SETTING => bits_per_letter(told.as_bytes()) >= LEAST_BITS && !is_name(&text),
                BARE => {
                    let ends = content
                        .get(told.end())
                        .is_none_or(|next| b" \t\r\n\"'`;&#".contains(next));
                    ends && is_bare(&text)
                }
                _ => true,
            };
            if is_placeholder(&text) || !is_random {
                continue;
            }
            let line = 1 + content[..told.start()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            found.push(Credential { line, kind, text });
        }
    }
    // What says by itself what it is is told so, and not once more by the name that it is given.
    let is_vague = |credential: &Credential| [IN_A_SETTING, BARE].contains(&credential.kind);
    let mut sure: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for credential in found.iter().filter(|credential| !is_vague(credential)) {
        sure.entry(credential.line)
            .or_default()
            .push(credential.text.clone());
    }
    found.retain(|credential| {
        let mut beside = sure.get(&credential.line).into_iter().flatten();
        !is_vague(credential) || !beside.any(|text| credential.text.contains(text.as_str()))
    });
    found.sort();
    found
}

/// Returns the bytes of a text; none of what holds a zero byte and is no UTF-16 that says so.
fn readable(content: &[u8]) -> Option<Cow<'_, [u8]>> {
    let of: fn([u8; 2]) -> u16 = match content {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return (!content.contains(&0)).then_some(Cow::Borrowed(content)),
    };
    let units: Vec<u16> = content[2..]
        .chunks_exact(2)
        .map(|pair| of([pair[0], pair[1]]))
        .collect();
    Some(Cow::Owned(String::from_utf16_lossy(&units).into_bytes()))
}

/// How often a piece of a text goes from letters to digits or back, or from small letters to capitals.
fn turns(piece: &str) -> (usize, usize) {
    let pairs = || piece.as_bytes().windows(2);
    let digits = pairs().filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit());
    let capitals = pairs().filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    (digits.count(), capitals.count())
}

/// Whether a text is the path of a file or the name of a variable: words with a slash, a dot or `_` between them.
fn is_name(text: &str) -> bool {
    let named = text.contains(['/', '.']) || text.contains('_') && text == text.to_ascii_lowercase();
    let mut pieces = text.split(|sign: char| !sign.is_ascii_alphanumeric());
    let is_word = |piece: &str| {
        let (digits, capitals) = turns(piece);
        digits <= 1 && capitals <= 1 + piece.len() / 8
    };
    named && pieces.all(is_word)
}

/// Whether a text without quotation marks is as random as a credential: letters and digits in a piece that no word is like.
fn is_bare(text: &str) -> bool {
    /// Hexadecimal digits have fewer bits a letter than others, and a random text of them can have few by chance.
    const LEAST_HEX_BITS: f64 = 3.0;
    const LEAST_PIECE: usize = 8;
    let hex = text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let least = if hex { LEAST_HEX_BITS } else { LEAST_BITS };
    let mut pieces = text.split(|sign: char| !sign.is_ascii_alphanumeric());
    let has_random = pieces.any(|piece| piece.len() >= LEAST_PIECE && turns(piece).0 >= 2);
    has_random && bits_per_letter(text.as_bytes()) >= least
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
            (format!("DB_PASSWORD={random}\r\n"), vec![BARE]),
            (
                format!("REELWORLD_TOKEN={}", "0c7757a16734bdee8bb319c662023807"),
                vec![BARE],
            ),
            (format!("db:\n  password: {random}  # not yours\n"), vec![BARE]),
            (
                format!(
                    "aws_secret_access_key = {}",
                    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzQ8Lm4Tp8R"
                ),
                vec![BARE],
            ),
            (format!("docker run -e API_KEY={random} img"), vec![BARE]),
            (format!("http://x/team?token={random}"), vec![BARE]),
            (
                format!("k = 'sk-{}'", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5aB3dE5fG7hJ9"),
                vec!["key of a model provider"],
            ),
            (
                format!("GITLAB_TOKEN=glpat-{random}\ntoken = \"glpat-{random}\""),
                vec!["token of GitLab", "token of GitLab"],
            ),
            ("DB_PASSWORD=changeme-please-2026".to_owned(), vec![]),
            ("DB_PASSWORD=${DB_PASSWORD}".to_owned(), vec![]),
            ("token = <your-token-4f7a9c2e1b>".to_owned(), vec![]),
            ("REELWORLD_TOKEN=your-token-a1b2c3d4".to_owned(), vec![]),
            (
                "password = os.environ[\"X9A7B3C5D1\"]\ntoken = config.get_token_v2()".to_owned(),
                vec![],
            ),
            ("token = response.headers.etag\n".to_owned(), vec![]),
            ("self.token = tokens_by_user2id[key]\n".to_owned(), vec![]),
            ("token: models/2026-01-12-movies.bin".to_owned(), vec![]),
            ("token = \"models/2026-01-12-movies.bin\"".to_owned(), vec![]),
            ("api_key = \"settings.company_api\"".to_owned(), vec![]),
            ("next_token = 'next_page_of_list_2'".to_owned(), vec![]),
            ("secret: https://vault.local/v1/team4".to_owned(), vec![]),
        ] {
            assert_eq!(kinds(&text), wanted, "{text}");
        }
        let wide: Vec<u8> = [0xfeff]
            .into_iter()
            .chain(format!("a\nTOKEN={random}\n").encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(credentials(&wide)[0].line, 2);
        assert!(credentials(format!("\0TOKEN={random}").as_bytes()).is_empty());
        let two = format!("a\n\"api_key\": '{random}'\n");
        let found = credentials(two.as_bytes());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].shown().as_str()), (2, "q7Zp…"));
    }
}
