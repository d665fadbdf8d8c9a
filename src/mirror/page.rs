//! Pages of an index, with every link led through the grader (pure): what leads elsewhere is left out.

use std::collections::BTreeSet;

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{StartTag, Token, Tokenizer};
use serde_json::Value;

use super::address::join;
use super::route::Routes;

/// The most addresses that are remembered as left out.
const MOST_LEFT_OUT: usize = 8;
/// What a link of a Python index says beside where it leads; signatures are left out, as nobody looks at them.
const SAID: [&str; 4] = [
    "data-requires-python",
    "data-yanked",
    "data-core-metadata",
    "data-dist-info-metadata",
];

/// A page as builds get it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Page {
    /// What is sent.
    pub(super) text: String,
    /// Schemes and hosts that links led to and that are not declared.
    pub(super) left_out: BTreeSet<String>,
}

/// Makes a page of a Python index anew: its links alone, each led through the grader.
pub(super) fn of_pip(routes: &Routes, address: &str, html: &str) -> Page {
    let mut page = Page::default();
    page.text.push_str(
        "<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.0\"></head><body>\n",
    );
    let mut base = address.to_owned();
    // The name of the file stands between the tags; whoever downloads looks at the link alone.
    for token in Tokenizer::new_with_emitter(html, DefaultEmitter::<()>::default()) {
        let Ok(token) = token;
        let Token::StartTag(tag) = token else { continue };
        let Some(link) = attribute(&tag, "href") else {
            continue;
        };
        match &**tag.name {
            b"base" => base = join(address, &link).unwrap_or(base),
            b"a" => {
                let Some(target) = join(&base, &link) else {
                    continue;
                };
                let Some(path) = routes.path_to(&target) else {
                    page.leave_out(&target);
                    continue;
                };
                let hash = link
                    .split_once('#')
                    .map_or(String::new(), |(_, hash)| format!("#{hash}"));
                page.text
                    .push_str(&format!("<a href=\"{}{}\"", escape(&path), escape(&hash)));
                for name in SAID {
                    if let Some(value) = attribute(&tag, name) {
                        page.text.push_str(&format!(" {name}=\"{}\"", escape(&value)));
                    }
                }
                let name = target.rsplit('/').next().unwrap_or_default();
                page.text.push_str(&format!(">{}</a>\n", escape(name)));
            }
            _ => {}
        }
    }
    page.text.push_str("</body></html>\n");
    page
}

/// Leads the packages that a page of npm's registry names through the grader, whose own address there begins so.
///
/// # Errors
/// When the page is none.
pub(super) fn of_npm(
    routes: &Routes,
    address: &str,
    json: &[u8],
    here: &str,
) -> Result<Page, serde_json::Error> {
    let mut document: Value = serde_json::from_slice(json)?;
    let mut page = Page::default();
    let mut lead = |version: &mut Value| {
        if let Some(Value::String(link)) = version.pointer_mut("/dist/tarball") {
            let target = join(address, link).unwrap_or_default();
            match routes.path_to(&target) {
                Some(path) => *link = format!("{here}{path}"),
                // It stays as it is, and cannot be reached.
                None => page.leave_out(&target),
            }
        }
    };
    if let Some(versions) = document.get_mut("versions").and_then(Value::as_object_mut) {
        versions.values_mut().for_each(&mut lead);
    }
    // The page of one version alone.
    lead(&mut document);
    page.text = document.to_string();
    Ok(page)
}

impl Page {
    fn leave_out(&mut self, target: &str) {
        if self.left_out.len() < MOST_LEFT_OUT {
            let host: Vec<&str> = target.splitn(4, '/').take(3).collect();
            self.left_out.insert(host.join("/"));
        }
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let (_, value) = tag
        .attributes
        .iter()
        .find(|(key, _)| ***key == *name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::route::Front;
    use super::*;

    fn routes(front: Front) -> Routes {
        let index = match front {
            Front::Pip => "https://pypi.org/simple",
            Front::Npm => "https://registry.npmjs.org",
        };
        Routes::new(front, index, &["https://files.pythonhosted.org/packages"])
    }

    #[test]
    fn links_of_a_python_index_are_led_through_and_others_left_out() {
        let html = "<html><body><a href='https://files.pythonhosted.org/packages/a/f-1.whl#sha256=00' \
                    data-requires-python='&gt;=3.9' onclick='x()'>f-1.whl</a>\
                    <a href='f-2.tar.gz'>f-2</a><a href='https://evil.net/f-3.whl'>f-3</a>\
                    <a href='../../secret'>up</a><script>alert(1)</script>";
        let page = of_pip(&routes(Front::Pip), "https://pypi.org/simple/f/", html);
        let links: Vec<&str> = page.text.lines().filter(|line| line.starts_with("<a ")).collect();
        assert_eq!(
            links,
            [
                "<a href=\"/-0/a/f-1.whl#sha256=00\" data-requires-python=\"&gt;=3.9\">f-1.whl</a>",
                "<a href=\"/f/f-2.tar.gz\">f-2.tar.gz</a>",
            ]
        );
        assert!(!page.text.contains("script"), "{}", page.text);
        let left_out: Vec<String> = page.left_out.into_iter().collect();
        assert_eq!(left_out, ["https://evil.net", "https://pypi.org"]);
    }

    #[test]
    fn packages_of_npm_are_led_through_and_others_stay_out_of_reach() {
        let json = br#"{"name":"p","versions":{"1.0.0":{"dist":{"tarball":"https://registry.npmjs.org/p/-/p-1.0.0.tgz","integrity":"sha512-x"}},
                        "2.0.0":{"dist":{"tarball":"https://evil.net/p-2.0.0.tgz"}}}}"#;
        let page = of_npm(
            &routes(Front::Npm),
            "https://registry.npmjs.org/p",
            json,
            "http://here",
        )
        .unwrap();
        let document: Value = serde_json::from_str(&page.text).unwrap();
        let link = |version: &str| document["versions"][version]["dist"]["tarball"].as_str().unwrap();
        assert_eq!(link("1.0.0"), "http://here/p/-/p-1.0.0.tgz");
        assert_eq!(link("2.0.0"), "https://evil.net/p-2.0.0.tgz");
        assert_eq!(document["versions"]["1.0.0"]["dist"]["integrity"], "sha512-x");
        assert_eq!(
            page.left_out.into_iter().collect::<Vec<_>>(),
            ["https://evil.net"]
        );
        assert!(of_npm(&routes(Front::Npm), "https://x", b"<html>", "").is_err());
    }

    proptest! {
        #[test]
        fn every_link_of_any_page_is_one_that_the_routes_know(html in "(<a href='|<a href=\"|//|\\.\\./|https://pypi.org/simple/|[a-z'\"<>&#% /]|</a>){0,30}") {
            let routes = routes(Front::Pip);
            let page = of_pip(&routes, "https://pypi.org/simple/f/", &html);
            for token in Tokenizer::new_with_emitter(page.text.as_str(), DefaultEmitter::<()>::default()) {
                let Ok(token) = token;
                let Token::StartTag(tag) = token else { continue };
                if let Some(link) = attribute(&tag, "href") {
                    let path = link.split('#').next().unwrap_or_default();
                    prop_assert!(routes.of(path).is_ok(), "{}", link);
                }
            }
        }
    }
}
