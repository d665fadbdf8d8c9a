//! The server's pages: the company for everybody, a team's own behind its token, the figures and the health (pure but for the
//! clock of the door).

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::board::{Board, TeamView};
use crate::company::Company;
use crate::door::{Ask, Reply, Room, decode};

/// Nothing from outside, nothing inline, nobody may frame it, and no address with a token goes anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// The script that keeps a page up to date: it fetches the page's own live part, made and escaped here.
const SCRIPT: &str = "'use strict';
const live = document.getElementById('live');
async function refresh() {
  try {
    const answer = await fetch(live.dataset.from, { cache: 'no-store' });
    if (!answer.ok) throw new Error(answer.status);
    live.innerHTML = await answer.text();
    document.body.classList.remove('stale');
  } catch (error) {
    document.body.classList.add('stale');
  }
}
setInterval(refresh, 2000);
";
const STYLE: &str = "body{font:16px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1d1d1f;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ddd}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.bad{font-weight:600}.bad::before{content:'! '}
.stale::before{content:'The server does not answer; what stands here is old.';display:block;font-weight:600}
.bars{font-family:monospace;letter-spacing:.05em}
@media(prefers-color-scheme:dark){body{color:#eee;background:#161618}th,td{border-color:#444}a{color:#9cf}}
";

/// The pages of a running server.
pub(super) struct Pages {
    board: Arc<Mutex<Board>>,
    company: Arc<Company>,
}

impl Pages {
    pub(super) fn new(board: Arc<Mutex<Board>>, company: Arc<Company>) -> Self {
        Self { board, company }
    }
}

impl Room for Pages {
    fn answer(&self, ask: &Ask, now_ns: u64) -> Reply {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reply = if matches!(ask.method.as_str(), "GET" | "HEAD") {
            route(&board, ask, now_ns, &self.company)
        } else {
            plain(405, "read only").with("allow", "GET, HEAD")
        };
        reply
            .with("content-security-policy", POLICY)
            .with("x-content-type-options", "nosniff")
            .with("referrer-policy", "no-referrer")
            .with("cache-control", "no-store")
    }
}

fn plain(status: u16, text: impl Into<String>) -> Reply {
    Reply::new(status, "text/plain; charset=utf-8", text.into())
}

fn html(text: String) -> Reply {
    Reply::new(200, "text/html; charset=utf-8", text)
}

fn route(board: &Board, ask: &Ask, now_ns: u64, company: &Company) -> Reply {
    let path = decode(&ask.path).unwrap_or_default();
    match path.as_str() {
        "/" => html(page("The company", "/part", &everybody(board, now_ns))),
        "/part" => html(everybody(board, now_ns)),
        "/live.js" => Reply::new(200, "text/javascript; charset=utf-8", SCRIPT),
        "/live.css" => Reply::new(200, "text/css; charset=utf-8", STYLE),
        "/health" => health(board, now_ns),
        "/metrics" => {
            let mut text = board.expose(now_ns);
            company.counts().expose(&mut text);
            Reply::new(200, "text/plain; version=0.0.4; charset=utf-8", text)
        }
        other => match other.strip_prefix("/team/") {
            Some(rest) => team(board, rest, &ask.query),
            None => plain(404, "there is no such page\n"),
        },
    }
}

fn health(board: &Board, now_ns: u64) -> Reply {
    let problems = board.problems(now_ns);
    let (status, word) = if problems.is_empty() {
        (200, "ok")
    } else {
        (503, "ill")
    };
    let value: Value = json!({ "status": word, "problems": problems, "time": board.now });
    Reply::new(status, "application/json", format!("{value}\n"))
}

/// A team's own page; who has not its token learns nothing, not even whether there is such a team.
fn team(board: &Board, rest: &str, query: &str) -> Reply {
    let (name, is_part) = match rest.strip_suffix("/part") {
        Some(name) => (name, true),
        None => (rest, false),
    };
    let token = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
        .unwrap_or_default();
    let found = board.teams.iter().find(|team| team.name == name);
    let Some(team) = found.filter(|team| is_same(&team.token, token)) else {
        return plain(404, "there is no such page, or the token is another\n");
    };
    let inner = own(team);
    if is_part {
        return html(inner);
    }
    let from = format!("/team/{}/part?token={}", team.name, team.token);
    html(page(&team.name, &from, &inner))
}

/// Compares without telling by its time where the first difference is.
fn is_same(token: &str, given: &str) -> bool {
    let differs = token
        .bytes()
        .zip(given.bytes())
        .fold(0, |differs, (a, b)| differs | (a ^ b));
    !token.is_empty() && token.len() == given.len() && differs == 0
}

/// Makes text safe for where it goes in a page.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

fn page(title: &str, from: &str, inner: &str) -> String {
    let (title, from) = (escape(title), escape(from));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"/live.css\"><noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\
         </head><body><main id=\"live\" data-from=\"{from}\" aria-live=\"off\">{inner}</main><script src=\"/live.js\"></script></body></html>\n"
    )
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn millis(value: Option<u32>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value} ms"))
}

/// Returns the answers a second over the minutes that are kept.
fn rate(team: &TeamView) -> f64 {
    let asked: u64 = team.minutes.iter().map(|minute| minute.asked).sum();
    let span = match (team.minutes.front(), team.minutes.back()) {
        (Some(first), Some(last)) => (last.number - first.number + 1) * 60,
        _ => 60,
    };
    asked as f64 / span as f64
}

fn everybody(board: &Board, now_ns: u64) -> String {
    let mut out = format!(
        "<h1>{}</h1><p>The log stands at {}{}.</p>",
        escape(&board.course),
        escape(&board.now),
        if board.speed == 1.0 {
            String::new()
        } else {
            format!(", at {} times the usual pace", board.speed)
        }
    );
    let problems = board.problems(now_ns);
    if !problems.is_empty() {
        out.push_str("<h2>What is wrong with the server</h2><ul>");
        for problem in &problems {
            out.push_str(&format!("<li class=\"bad\">{}</li>", escape(problem)));
        }
        out.push_str("</ul>");
    }
    if !board.running.is_empty() {
        let running: Vec<String> = board.running.iter().map(|what| escape(what)).collect();
        out.push_str(&format!("<p>Now: {}.</p>", running.join("; ")));
    }
    out.push_str(
        "<table><thead><tr><th>Team</th><th class=\"n\">Available</th><th class=\"n\">Half within</th><th class=\"n\">95 % within</th>\
         <th class=\"n\">Answers a second</th><th class=\"n\">Lists taken from</th><th>Model</th></tr></thead><tbody>",
    );
    for team in &board.teams {
        out.push_str(&format!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.2}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(&team.name),
            percent(team.availability()),
            millis(team.percentile_ms(0.5)),
            millis(team.percentile_ms(0.95)),
            rate(team),
            percent(team.quality()),
            escape(team.model.as_deref().unwrap_or("–")),
        ));
    }
    out.push_str("</tbody></table>");
    out
}

fn own(team: &TeamView) -> String {
    let mut out = format!(
        "<h1>{}</h1><p>Service at {}; topic movielog{}.</p><table><tbody>",
        escape(&team.name),
        escape(&team.server),
        team.number
    );
    let mut row = |name: &str, value: String| {
        out.push_str(&format!(
            "<tr><th>{name}</th><td class=\"n\">{}</td></tr>",
            escape(&value)
        ));
    };
    row("Available in the last minutes", percent(team.availability()));
    row("Half of the answers within", millis(team.percentile_ms(0.5)));
    row("95 % of the answers within", millis(team.percentile_ms(0.95)));
    row("99 % of the answers within", millis(team.percentile_ms(0.99)));
    row("Requests since the server was started", team.asked.to_string());
    row("Successful", team.ok.to_string());
    row("Not counted, by the company's own fault", team.ours.to_string());
    row("Lists from which something was taken", percent(team.quality()));
    row("Models seen", team.models.to_string());
    row("Model now", team.model.clone().unwrap_or_else(|| "–".to_owned()));
    row("Viewers before a movie", team.watching.to_string());
    out.push_str("</tbody></table>");
    if !team.failures.is_empty() {
        out.push_str("<h2>What went wrong</h2><ul>");
        for (kind, count) in &team.failures {
            out.push_str(&format!("<li>{count} × {}</li>", escape(kind)));
        }
        out.push_str("</ul>");
    }
    if !team.minutes.is_empty() {
        out.push_str("<h2>The last minutes</h2><p class=\"bars\">");
        for minute in &team.minutes {
            let share = minute.ok as f64 / minute.asked.max(1) as f64;
            let level = (share * 7.0).round() as usize;
            out.push(['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][level.min(7)]);
        }
        out.push_str(
            "</p><p>Each bar is a minute; a full one means that all its requests were answered well.</p>",
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::company::Limit;
    use crate::seed::Key;
    use crate::world::{Profile, World, WorldSpec};

    fn pages() -> Pages {
        let key = Key::from_seed(1);
        let spec = WorldSpec {
            users: 50,
            movies: 50,
            profile: Profile::Classic,
        };
        let world = Arc::new(World::new(&key, spec, 1));
        let mut team = TeamView::new(3, "owls", "<script>alert(1)</script>:80");
        team.token = "0123456789abcdef".to_owned();
        team.saw_model("<img src=x onerror='alert(2)'>\"");
        team.failures.insert("<b>".to_owned(), 1);
        let board = Board {
            course: "A & B".to_owned(),
            speed: 1.0,
            teams: vec![team],
            ..Board::default()
        };
        let company = Arc::new(Company::new(world, Limit::default(), &key.branch("x")));
        Pages::new(Arc::new(Mutex::new(board)), company)
    }

    fn get(pages: &Pages, path: &str, query: &str) -> (u16, String) {
        let ask = Ask {
            method: "GET".to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            client: [127, 0, 0, 1].into(),
        };
        let reply = pages.answer(&ask, 0);
        assert!(
            reply
                .headers
                .iter()
                .any(|(name, value)| *name == "content-security-policy"
                    && value.contains("default-src 'none'"))
        );
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    }

    #[test]
    fn nothing_that_a_team_says_is_markup() {
        let pages = pages();
        for (path, query) in [("/", ""), ("/part", ""), ("/team/owls", "token=0123456789abcdef")] {
            let (status, text) = get(&pages, path, query);
            assert_eq!(status, 200);
            assert!(
                !text.contains("<img") && !text.contains("alert(1)</script>") && !text.contains("<b>"),
                "{text}"
            );
        }
        let (_, text) = get(&pages, "/", "");
        assert!(
            text.contains("A &amp; B") && text.contains("&lt;img src=x onerror=&#39;"),
            "{text}"
        );
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "no outside assets"
        );
    }

    #[test]
    fn a_teams_own_page_opens_with_its_token_alone() {
        let pages = pages();
        let (_, text) = get(&pages, "/", "");
        assert!(!text.contains("0123456789abcdef"));
        for query in [
            "",
            "token=",
            "token=0123456789abcdeF",
            "token=0123456789abcde",
            "t=0123456789abcdef",
        ] {
            assert_eq!(get(&pages, "/team/owls", query).0, 404, "{query}");
            assert_eq!(get(&pages, "/team/owls/part", query).0, 404, "{query}");
        }
        assert_eq!(
            get(&pages, "/team/hawks", "token=0123456789abcdef"),
            get(&pages, "/team/owls", "token=wrong"),
            "nobody learns which teams there are"
        );
        assert!(
            get(&pages, "/team/owls", "token=0123456789abcdef")
                .1
                .contains("movielog3")
        );
    }

    #[test]
    fn health_and_metrics_tell_what_is_wrong() {
        let pages = pages();
        assert_eq!(get(&pages, "/health", "").0, 200);
        pages
            .board
            .lock()
            .unwrap()
            .faults
            .push("store: no space".to_owned());
        let (status, text) = get(&pages, "/health", "");
        assert_eq!(status, 503);
        assert!(text.contains("store: no space"), "{text}");
        let (_, text) = get(&pages, "/metrics", "");
        assert!(
            text.contains("reelworld_up 0\n") && text.contains("reelworld_api_requests_total"),
            "{text}"
        );
        assert!(get(&pages, "/", "").1.contains("store: no space"));
    }
}
