//! A text for people, as Markdown, HTML or a notebook: its links, its images, the commands that it gives, and how long it is.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{StartTag, Token, Tokenizer};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// The largest text that is read.
pub(super) const TEXT_BYTES: u64 = 2 << 20;
/// The most links, images and blocks each that are kept of one text.
const MOST_PARTS: usize = 1_000;

/// What a text holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Document {
    /// The number of words, without code.
    pub(super) words: u32,
    pub(super) links: Vec<Link>,
    pub(super) images: Vec<Image>,
    /// Blocks of code that say what they are.
    pub(super) blocks: Vec<Block>,
}

/// A link: where it stands and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) place: String,
    pub(super) target: String,
}

/// An image: where it stands, what it shows, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) place: String,
    pub(super) source: String,
    pub(super) alt: String,
}

/// A fenced block of code: the line of its first line of code, what stands after the fence, and the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) line: usize,
    pub(super) info: String,
    pub(super) code: String,
}

/// The forms in which a text may be written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Markdown,
    Html,
    Notebook,
}

fn form(path: &str) -> Option<Form> {
    let (_, ending) = path.rsplit_once('.')?;
    match ending.to_ascii_lowercase().as_str() {
        "md" | "markdown" => Some(Form::Markdown),
        "html" | "htm" => Some(Form::Html),
        "ipynb" => Some(Form::Notebook),
        _ => None,
    }
}

/// Whether a path is that of a text that can be read.
pub(super) fn is_text(path: &str) -> bool {
    form(path).is_some()
}

/// Reads a text by the form that its name tells.
pub(super) fn read(path: &str, text: &str) -> Document {
    let mut document = Document::default();
    let place = |before: usize| at(path, text, before);
    match form(path) {
        Some(Form::Notebook) => notebook(path, text, &mut document),
        Some(Form::Html) => html(text, &place, &mut document),
        Some(Form::Markdown) | None => markdown(text, &place, &mut document),
    }
    document.links.truncate(MOST_PARTS);
    document.images.truncate(MOST_PARTS);
    document.blocks.truncate(MOST_PARTS);
    document
}

/// Returns a place as `file:line`.
fn at(path: &str, text: &str, before: usize) -> String {
    format!("{path}:{}", line_of(text, before))
}

fn line_of(text: &str, before: usize) -> usize {
    let before = before.min(text.len());
    1 + text.as_bytes()[..before]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

fn count_words(text: &str) -> u32 {
    let words = text
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphanumeric));
    words.count() as u32
}

fn markdown(text: &str, place: &dyn Fn(usize) -> String, document: &mut Document) {
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
    let options = options | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS | Options::ENABLE_MATH;
    let mut images: Vec<Image> = Vec::new();
    let mut block: Option<Block> = None;
    // Text comes in pieces, HTML line by line: both are put together before they are looked at.
    let (mut plain, mut plain_at) = (String::new(), 0);
    let (mut raw, mut raw_at) = (String::new(), 0);
    let (mut in_link, mut in_metadata) = (false, false);
    let full = |document: &Document| {
        document
            .links
            .len()
            .max(document.images.len())
            .max(document.blocks.len())
            >= MOST_PARTS
    };
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        if full(document) {
            break;
        }
        if !matches!(event, Event::Text(_)) && !plain.is_empty() {
            bare_links(&std::mem::take(&mut plain), &place(plain_at), document);
        }
        if !matches!(event, Event::Html(_) | Event::InlineHtml(_)) && !raw.is_empty() {
            let whole = std::mem::take(&mut raw);
            html(&whole, &|before| place(raw_at + before), document);
        }
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => {
                in_link = true;
                document.links.push(Link {
                    place: place(range.start),
                    target: dest_url.into_string(),
                });
            }
            Event::End(TagEnd::Link) => in_link = false,
            Event::Start(Tag::Image { dest_url, .. }) => images.push(Image {
                place: place(range.start),
                source: dest_url.into_string(),
                alt: String::new(),
            }),
            Event::End(TagEnd::Image) => document.images.extend(images.pop()),
            Event::Start(Tag::MetadataBlock(_)) => in_metadata = true,
            Event::End(TagEnd::MetadataBlock(_)) => in_metadata = false,
            Event::Start(Tag::CodeBlock(kind)) => {
                let info = match kind {
                    CodeBlockKind::Fenced(info) => info.into_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                let line = line_of(text, range.start) + 1;
                let code = String::new();
                block = Some(Block { line, info, code });
            }
            Event::End(TagEnd::CodeBlock) => {
                let told = |block: &Block| !block.info.trim().is_empty();
                document.blocks.extend(block.take().filter(told));
            }
            Event::Text(piece) if in_metadata => drop(piece),
            Event::Text(piece) => match (&mut block, images.last_mut()) {
                (Some(block), _) => block.code.push_str(&piece),
                (None, Some(image)) => image.alt.push_str(&piece),
                (None, None) => {
                    document.words += count_words(&piece);
                    if !in_link {
                        if plain.is_empty() {
                            plain_at = range.start;
                        }
                        plain.push_str(&piece);
                    }
                }
            },
            Event::Code(piece) => {
                if let Some(image) = images.last_mut() {
                    image.alt.push_str(&piece);
                }
            }
            Event::Html(piece) | Event::InlineHtml(piece) => {
                if raw.is_empty() {
                    raw_at = range.start;
                }
                raw.push_str(&piece);
            }
            _ => {}
        }
    }
    bare_links(&plain, &place(plain_at), document);
    html(&raw, &|before| place(raw_at + before), document);
}

/// Finds addresses that stand in a text by themselves: sites that show Markdown make links of them.
fn bare_links(text: &str, place: &str, document: &mut Document) {
    for word in text.split(|sign: char| sign.is_whitespace() || "<>()\"".contains(sign)) {
        if let Some(start) = word.find("https://").or_else(|| word.find("http://")) {
            let target = word[start..].trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', '_']);
            document.links.push(Link {
                place: place.to_owned(),
                target: target.to_owned(),
            });
        }
    }
}

fn html(text: &str, place: &dyn Fn(usize) -> String, document: &mut Document) {
    if text.is_empty() {
        return;
    }
    let mut emitter: DefaultEmitter<usize> = DefaultEmitter::new_with_span();
    emitter.naively_switch_states(true);
    let mut hidden = false;
    for token in Tokenizer::new_with_emitter(text, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let value = |name: &str| attribute(&tag, name);
                match tag.name.as_slice() {
                    b"a" => {
                        if let Some(target) = value("href") {
                            let place = place(tag.span.start);
                            document.links.push(Link { place, target });
                        }
                    }
                    b"img" => document.images.push(Image {
                        place: place(tag.span.start),
                        source: value("src").unwrap_or_default(),
                        alt: value("alt").unwrap_or_default(),
                    }),
                    b"script" | b"style" => hidden = true,
                    _ => {}
                }
            }
            Token::EndTag(tag) if [b"script".as_slice(), b"style"].contains(&tag.name.as_slice()) => {
                hidden = false;
            }
            Token::String(piece) if !hidden => {
                document.words += count_words(&String::from_utf8_lossy(&piece.value));
            }
            _ => {}
        }
        if document.links.len().max(document.images.len()) >= MOST_PARTS {
            return;
        }
    }
}

fn attribute(tag: &StartTag<usize>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(&value.value).into_owned())
}

/// Reads the cells of a notebook that are text; what code has drawn has no text that could be given to it.
fn notebook(path: &str, text: &str, document: &mut Document) {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return;
    };
    let cells = value.get("cells").and_then(|cells| cells.as_array());
    for (number, cell) in cells.into_iter().flatten().enumerate() {
        if cell.get("cell_type").and_then(|kind| kind.as_str()) != Some("markdown") {
            continue;
        }
        let source = match cell.get("source") {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Array(lines)) => lines.iter().filter_map(|line| line.as_str()).collect(),
            _ => continue,
        };
        markdown(&source, &|_| format!("{path}, cell {}", number + 1), document);
    }
}

/// The word after a fence that marks commands for whoever reads along: `sh run`.
const RUN: &str = "run";

/// Commands of a README that are marked to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The line at which they begin.
    pub line: usize,
    /// The shell that they are written for: `sh`, `bash`.
    pub shell: &'static str,
    /// The commands.
    pub code: String,
}

/// Returns the blocks of a Markdown text that are marked to be run. One without a command is none.
pub fn marked_blocks(text: &str) -> Vec<Marked> {
    let mut document = Document::default();
    markdown(text, &|_| String::new(), &mut document);
    let marked = |block: Block| {
        let mut words = block.info.split_whitespace();
        let shell = match words.next()? {
            "sh" | "shell" => "sh",
            "bash" => "bash",
            _ => return None,
        };
        let mut lines = block.code.lines().map(str::trim);
        let does = lines.any(|line| !["", "true", ":"].contains(&line) && !line.starts_with('#'));
        (does && words.any(|word| word == RUN)).then_some(Marked {
            line: block.line,
            shell,
            code: block.code,
        })
    };
    document.blocks.into_iter().filter_map(marked).collect()
}

/// Words by which people fill the place of a text.
const NO_TEXTS: &[&str] = &[
    "alt",
    "alt text",
    "bild",
    "diagram",
    "figure",
    "graph",
    "image",
    "img",
    "logo",
    "photo",
    "picture",
    "plot",
    "screenshot",
    "todo",
    "untitled",
];

impl Image {
    /// Returns why its text says nothing of it, if it does not.
    pub(super) fn lacks(&self) -> Option<&'static str> {
        let alt = self.alt.trim().to_lowercase();
        let alt = alt.trim_matches(|sign: char| !sign.is_alphanumeric());
        let without_number =
            alt.trim_end_matches(|sign: char| sign.is_ascii_digit() || " .-_".contains(sign));
        let file = self
            .source
            .rsplit(['/', ':'])
            .next()
            .unwrap_or_default()
            .to_lowercase();
        let name = file.rsplit_once('.').map_or(file.as_str(), |(name, _)| name);
        if self.alt.trim().is_empty() {
            Some("no alternative text")
        } else if alt == file || !name.is_empty() && alt == name {
            Some("its text is the file's name")
        } else if NO_TEXTS.contains(&without_number) || without_number.is_empty() {
            Some("its text does not say what it shows")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKDOWN: &str = "---\ntitle: a b c\n---\n# Two words\n\nSee [the code](src/a.py#L3) and <https://x.org/y>, also https://x.org/a_b_c.\n\n\
        ![Latency by hour, highest at eight](p/l.png) `[no](link)`\n\n<p><a href='t.py'>t</a>\n<img src=\"b.png\"\n  alt=\"Boxes\"></p>\n\n\
        ```sh run\necho [x](y)\n```\n\n    indented [n](o)\n\n[ref]: other.md\nsee [ref]\n";

    #[test]
    fn blocks_that_do_something_are_run_by_the_shell_that_they_are_written_for() {
        let text = "```sh run\nmake\n```\n```bash run\n[[ a == a ]]\n```\n```sh\nrm -r x\n```\n```sh run\n```\n\
                    ```sh run\n# nothing\ntrue\n```\n```python run\nprint()\n```\n";
        let found: Vec<(&str, String)> = marked_blocks(text)
            .into_iter()
            .map(|block| (block.shell, block.code.trim().to_owned()))
            .collect();
        let wanted = [("sh", "make".to_owned()), ("bash", "[[ a == a ]]".to_owned())];
        assert_eq!(found, wanted);
    }

    #[test]
    fn links_images_and_blocks_of_markdown_are_found_with_their_places() {
        let found = read("r.md", MARKDOWN);
        let links: Vec<(&str, &str)> = found
            .links
            .iter()
            .map(|link| (link.place.as_str(), link.target.as_str()))
            .collect();
        assert_eq!(
            links,
            [
                ("r.md:6", "src/a.py#L3"),
                ("r.md:6", "https://x.org/y"),
                ("r.md:6", "https://x.org/a_b_c"),
                ("r.md:10", "t.py"),
                ("r.md:21", "other.md"),
            ]
        );
        let images: Vec<(&str, &str)> = found
            .images
            .iter()
            .map(|image| (image.source.as_str(), image.alt.as_str()))
            .collect();
        assert_eq!(
            images,
            [
                ("p/l.png", "Latency by hour, highest at eight"),
                ("b.png", "Boxes")
            ]
        );
        assert_eq!(found.blocks.len(), 1);
        let block = &found.blocks[0];
        assert_eq!(
            (block.info.as_str(), block.code.as_str(), block.line),
            ("sh run", "echo [x](y)\n", 15)
        );
        assert!((8..20).contains(&found.words), "{}", found.words);
    }

    #[test]
    fn pages_and_notebooks_are_read_as_well() {
        let page = "<html><script>var a = '<img src=x>';</script><body><p>One two</p><a href=\"../src/a.py\">x</a><IMG SRC=y.png></html>";
        let found = read("r/r.html", page);
        assert_eq!(
            (found.links[0].target.as_str(), found.links.len()),
            ("../src/a.py", 1)
        );
        assert_eq!(
            (found.images.len(), found.images[0].lacks()),
            (1, Some("no alternative text"))
        );
        assert_eq!(found.words, 3);
        let notebook = r#"{"cells": [{"cell_type": "code", "source": ["[a](b)"]}, {"cell_type": "markdown", "source": ["[a](b)\n", "![](c.png)"]}]}"#;
        let found = read("n.ipynb", notebook);
        assert_eq!(found.links[0].place, "n.ipynb, cell 2");
        assert_eq!((found.links.len(), found.images.len()), (1, 1));
        assert_eq!(read("n.ipynb", "{"), Document::default());
    }

    #[test]
    fn a_text_that_says_something_is_told_from_one_that_fills_the_place() {
        let image = |source: &str, alt: &str| Image {
            place: String::new(),
            source: source.to_owned(),
            alt: alt.to_owned(),
        };
        for (source, alt) in [
            ("a.png", "Latency by hour"),
            ("https://img.shields.io/x.svg", "build passing"),
            ("a.png", "Überblick über die Teile"),
        ] {
            assert_eq!(image(source, alt).lacks(), None, "{alt}");
        }
        for (source, alt) in [
            ("a.png", ""),
            ("a.png", "  "),
            ("p/arch.png", "arch.png"),
            ("p/arch.png", "arch"),
            ("a.png", "Image"),
            ("a.png", "Figure 3"),
            ("a.png", "screenshot."),
            ("a.png", "---"),
            ("attachment:b.png", "b.png"),
        ] {
            assert!(image(source, alt).lacks().is_some(), "{alt}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(form in 0..3_usize, text in "[\\[\\]()<>!a-c/\"'=`~#*_ \\n{}:,-]{0,120}") {
            read(["a.md", "a.html", "a.ipynb"][form], &text);
        }
    }
}
