//! YAML that somebody else wrote, as a tree of texts: bounded in size and depth, and what an alias stands for counts each time.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser};

/// The largest file: the longest configuration seen was a hundredth of it.
pub(super) const YAML_BYTES: usize = 256 << 10;
/// The most nodes of the tree, with every alias written out: short files can stand for billions.
const MOST_NODES: usize = 20_000;
/// The deepest nesting.
const MOST_DEPTH: usize = 40;

/// A part of a file. Every scalar is its text: `on` is no truth value, and `3.10` is no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    List(Vec<Rc<Node>>),
    Map(Vec<(String, Rc<Node>)>),
}

impl Node {
    /// Returns the value of a key, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Returns the text, if this is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(_) | Self::Map(_) => None,
        }
    }

    /// Returns the keys and values of a map; none of anything else.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        let entries: &[(String, Rc<Node>)] = match self {
            Self::Map(entries) => entries,
            Self::Text(_) | Self::List(_) => &[],
        };
        entries.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// Returns the items of a list; what is no list is the only item of one.
    pub(super) fn items(&self) -> Vec<&Node> {
        match self {
            Self::List(items) => items.iter().map(|item| &**item).collect(),
            Self::Text(_) | Self::Map(_) => vec![self],
        }
    }

    /// Returns all texts of a list, and of lists in it.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::List(items) => items.iter().flat_map(|item| item.texts()).collect(),
            Self::Map(_) => Vec::new(),
        }
    }

    /// Whether this is the text `true`.
    pub(super) fn is_true(&self) -> bool {
        self.text().is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}

/// A list or a map that is not at its end.
struct Open {
    node: Node,
    key: Option<String>,
    anchor: usize,
    size: usize,
}

/// Reads a file's last document.
///
/// # Errors
/// Why it can't be read, as a phrase.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    if text.len() > YAML_BYTES {
        return Err(format!("is larger than {} KiB", YAML_BYTES >> 10));
    }
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: BTreeMap<usize, (Rc<Node>, usize)> = BTreeMap::new();
    let mut document = Node::Map(Vec::new());
    let mut total = 0_usize;
    while let Some(event) = parser.next_event() {
        let (event, _) = event.map_err(|error| format!("is no YAML: {error}"))?;
        let begins = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..));
        if begins && open.len() == MOST_DEPTH {
            return Err(format!("is nested deeper than {MOST_DEPTH} levels"));
        }
        let (node, anchor, size) = match event {
            Event::SequenceStart(anchor, _) => {
                open.push(Open::new(Node::List(Vec::new()), anchor));
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open::new(Node::Map(Vec::new()), anchor));
                continue;
            }
            Event::Scalar(text, _, anchor, _) => (Rc::new(Node::Text(text.into_owned())), anchor, 1),
            Event::Alias(anchor) => {
                let Some((node, size)) = anchors.get(&anchor) else {
                    return Err("names an anchor that is not there yet".to_owned());
                };
                (Rc::clone(node), 0, *size)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = open.pop() else { continue };
                (Rc::new(merged(done.node)), done.anchor, done.size)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => continue,
        };
        total = total.saturating_add(size);
        if total > MOST_NODES {
            return Err(format!(
                "has more than {MOST_NODES} parts with its aliases written out"
            ));
        }
        if anchor > 0 {
            anchors.insert(anchor, (Rc::clone(&node), size));
        }
        match open.last_mut() {
            Some(outer) => outer.take(node, size),
            None => document = Rc::unwrap_or_clone(node),
        }
    }
    Ok(document)
}

impl Open {
    fn new(node: Node, anchor: usize) -> Self {
        Self {
            node,
            key: None,
            anchor,
            size: 1,
        }
    }

    fn take(&mut self, node: Rc<Node>, size: usize) {
        self.size += size;
        match (&mut self.node, self.key.take()) {
            (Node::List(items), _) => items.push(node),
            (Node::Map(entries), Some(key)) => entries.push((key, node)),
            // A key that is no text is none that anybody asks for.
            (Node::Map(_), None) => self.key = Some(node.text().unwrap_or_default().to_owned()),
            (Node::Text(_), _) => {}
        }
    }
}

/// Puts in what `<<` names, where the map does not say it itself.
fn merged(node: Node) -> Node {
    let Node::Map(entries) = node else { return node };
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| key == "<<");
    for (_, from) in merges {
        for map in from.items() {
            let Node::Map(more) = map else { continue };
            for (key, value) in more {
                if own.iter().all(|(known, _)| known != key) {
                    own.push((key.clone(), Rc::clone(value)));
                }
            }
        }
    }
    Node::Map(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_stay_texts_and_aliases_stand_for_what_they_name() {
        let node = parse("on: [push]\nv: 3.10\nbase: &b\n  script: [a, b]\n  x: 1\njob:\n  <<: *b\n  x: 2\n")
            .unwrap();
        assert_eq!(node.get("on").unwrap().texts(), ["push"]);
        assert_eq!(node.get("v").unwrap().text(), Some("3.10"));
        let job = node.get("job").unwrap();
        assert_eq!(job.get("script").unwrap().texts(), ["a", "b"]);
        assert_eq!(job.get("x").unwrap().text(), Some("2"));
        assert_eq!(node.get("nothing"), None);
        assert_eq!(parse("").unwrap(), Node::Map(Vec::new()));
    }

    #[test]
    fn a_short_file_that_stands_for_billions_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 9].join(", ")));
        }
        assert!(parse(&text).unwrap_err().contains("aliases written out"));
        // The same through merges, which copy their entries.
        let mut text = "a0: &a0 {k0: x}\n".to_owned();
        for level in 1..200 {
            let merges = vec![format!("*a{}", level - 1); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} {{<<: [{merges}], k{level}: x}}\n"));
        }
        assert!(parse(&text).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(10_000)).is_err());
        assert!(
            parse(&format!("a: {}", "x".repeat(YAML_BYTES)))
                .unwrap_err()
                .contains("larger")
        );
        for broken in ["a: [", "a: *b", "\t- x: {", "a: 'b"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ \\na-c:&*<\\[\\]{},'\"|>!#-]{0,80}") {
            drop(parse(&text));
        }
    }
}
