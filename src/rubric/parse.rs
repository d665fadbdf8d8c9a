//! Reading a rubric: every fault at once, each with its place and, where we know it, what would be right.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bar, Criterion, Rubric, Rule, Test, Undecided, Window};
use crate::coursefile::{Document, Faults, Section, suggest};
use crate::scorecard::{Audience, Mark, MeasureInfo, Method, Scope};

/// The schema name that every rubric carries.
const SCHEMA: &str = "reelworld/rubric/v1";
/// The largest number of points that one criterion or rubric may have.
const MOST_POINTS: f64 = 10_000.0;
/// Sums of points are compared to this precision: points are given in halves or tenths.
const PRECISION: f64 = 1e-9;

impl Rubric {
    /// Reads a rubric; `measures` are those that the tool can produce.
    ///
    /// # Errors
    /// All faults at once, with file, line and column.
    pub fn parse(file: &str, text: &str, measures: &[MeasureInfo]) -> Result<Self, Faults> {
        let document = Document::parse(file, text)?;
        let root = document.root();
        root.require("schema");
        if root.text("schema").is_some_and(|schema| schema != SCHEMA) {
            root.fault_at(
                "schema",
                "this is no rubric of a version that we read",
                Some(format!("`{SCHEMA}`")),
            );
        }
        let id = root.required_text("id");
        let version = root.required_text("version");
        let title = root.required_text("title");
        root.require("points");
        let points = root.number_in("points", 0.0..=MOST_POINTS).unwrap_or_default();
        let bonus = root.number_in("bonus", 0.0..=MOST_POINTS).unwrap_or_default();
        let windows = read_windows(&root);
        let sections = root.tables("criterion");
        if sections.is_empty() {
            root.fault_at("criterion", "the rubric has no criterion", None);
        }
        let mut criteria = Vec::new();
        for section in &sections {
            criteria.push(read_criterion(section, measures));
        }
        check_ids(&id, &criteria, &sections);
        check_needs(&criteria, &sections);
        check_windows(&windows, &criteria, &sections);
        check_sum(
            &root,
            "points",
            points,
            criteria.iter().filter(|criterion| !criterion.bonus),
        );
        check_sum(
            &root,
            "bonus",
            bonus,
            criteria.iter().filter(|criterion| criterion.bonus),
        );
        sections.into_iter().for_each(Section::finish);
        root.finish();
        document.finish()?;
        Ok(Self {
            id,
            version,
            title,
            points,
            bonus,
            windows,
            criteria,
        })
    }
}

fn read_windows(root: &Section<'_>) -> Vec<Window> {
    let Some(all) = root.table("window") else {
        return Vec::new();
    };
    let mut windows = Vec::new();
    for (name, section) in all.all_tables() {
        let hours = |key: &str| section.number_in(key, 0.0..=8760.0).unwrap_or_default();
        let pick = section
            .choice("pick", &[("better", true), ("both", false)])
            .unwrap_or(false);
        windows.push(Window {
            name,
            before_h: hours("before_h"),
            after_h: hours("after_h"),
            better_side: pick,
        });
        if windows
            .last()
            .is_some_and(|window| window.before_h + window.after_h <= 0.0)
        {
            section.fault_at(
                "before_h",
                "the window has no hours",
                Some("before_h = 24, say".to_owned()),
            );
        }
        section.finish();
    }
    all.finish();
    windows
}

fn read_criterion(section: &Section<'_>, measures: &[MeasureInfo]) -> Criterion {
    let id = section.required_text("id");
    let title = section.required_text("title");
    let text = section.required_text("text");
    section.require("points");
    let points = section.number_in("points", 0.0..=MOST_POINTS).unwrap_or_default();
    section.require("method");
    let method = section
        .choice(
            "method",
            &[
                ("census", Method::Census),
                ("sampled", Method::Sampled),
                ("fact", Method::Fact),
                ("judged", Method::Judged),
            ],
        )
        .unwrap_or(Method::Judged);
    let rule = match method {
        Method::Judged => read_judged(section),
        Method::Census | Method::Sampled | Method::Fact => read_measured(section, method, measures),
    };
    Criterion {
        id,
        title,
        text,
        points,
        bonus: section.flag("bonus").unwrap_or(false),
        scope: section
            .choice(
                "scope",
                &[("team", Scope::Team), ("individual", Scope::Individual)],
            )
            .unwrap_or(Scope::Team),
        visibility: section
            .choice(
                "visibility",
                &[("student", Audience::Student), ("staff", Audience::Staff)],
            )
            .unwrap_or(Audience::Student),
        needs: section.texts("needs"),
        window: section.text("window"),
        rule,
        hint: section.text("hint"),
    }
}

fn read_judged(section: &Section<'_>) -> Rule {
    for key in [
        "measure",
        "at_least",
        "at_most",
        "unit",
        "min_n",
        "undecided",
        "margin",
    ] {
        if section.has(key) {
            let hint =
                Some("method = \"sampled\", \"census\" or \"fact\" is decided by a measure".to_owned());
            section.fault_at(
                key,
                format!("a person judges this criterion, so `{key}` means nothing"),
                hint,
            );
            section.text(key);
        }
    }
    let sections = section.tables("mark");
    let mut marks = Vec::new();
    for mark in &sections {
        marks.push(Mark {
            id: mark.required_text("id"),
            text: mark.required_text("text"),
            fails: mark.flag("fails").unwrap_or(false),
        });
    }
    if marks.is_empty() {
        section.fault_at(
            "mark",
            "a judged criterion needs at least one [[criterion.mark]]",
            None,
        );
    }
    for (place, mark) in marks.iter().enumerate() {
        if !mark.id.is_empty() && marks[..place].iter().any(|earlier| earlier.id == mark.id) {
            sections[place].fault_at(
                "id",
                format!("`{}` is the id of an earlier mark too", mark.id),
                None,
            );
        }
    }
    sections.into_iter().for_each(Section::finish);
    Rule::Judged {
        marks,
        note: section.text("grader_note").unwrap_or_default(),
        look_at: section.texts("look_at"),
    }
}

fn read_measured(section: &Section<'_>, method: Method, measures: &[MeasureInfo]) -> Rule {
    let test = read_test(section, measures);
    if let Some(info) = measures.iter().find(|info| info.id == test.measure)
        && info.method != method
    {
        let right = method_name(info.method);
        section.fault_at(
            "method",
            format!("`{}` is decided as `{right}`", info.id),
            Some(format!("method = \"{right}\"")),
        );
    }
    let self_check = section.table("self_check").map(|own| {
        let test = read_test(&own, measures);
        if measures
            .iter()
            .any(|info| info.id == test.measure && !info.in_check)
        {
            own.fault_at(
                "measure",
                format!(
                    "`{}` needs the truth, which a self-check does not know",
                    test.measure
                ),
                None,
            );
        }
        own.finish();
        test
    });
    let doubt = section.choice("undecided", &[("benefit_of_doubt", true), ("no_verdict", false)]);
    let margin = section.number_in("margin", 0.0..=MOST_POINTS);
    if doubt == Some(true) && !section.has("margin") {
        let message =
            "the benefit of the doubt needs a `margin`: how far from the bar a value may be to have it";
        section.fault_at(
            "undecided",
            message,
            Some("margin = 0.02, say, in the measure's unit".to_owned()),
        );
    }
    let undecided = doubt.map(|doubt| {
        if doubt {
            Undecided::BenefitOfDoubt(margin.unwrap_or_default())
        } else {
            Undecided::NoVerdict
        }
    });
    if method == Method::Sampled && undecided.is_none() {
        let hint = Some("\"benefit_of_doubt\" or \"no_verdict\"".to_owned());
        section.fault_at(
            "undecided",
            "a sampled criterion must say what counts while it is `undecided`",
            hint,
        );
    }
    let min_n = section
        .integer_in("min_n", 0..=1_000_000_000)
        .unwrap_or(1)
        .unsigned_abs();
    Rule::Measured {
        method,
        test,
        self_check,
        min_n,
        undecided: undecided.unwrap_or(Undecided::NoVerdict),
    }
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Census => "census",
        Method::Sampled => "sampled",
        Method::Fact => "fact",
        Method::Judged => "judged",
    }
}

fn read_test(section: &Section<'_>, measures: &[MeasureInfo]) -> Test {
    let measure = section.required_text("measure");
    let info = measures.iter().find(|info| info.id == measure);
    if info.is_none() && !measure.is_empty() {
        let known: Vec<&str> = measures.iter().map(|info| info.id).collect();
        section.fault_at(
            "measure",
            format!("no check produces `{measure}`"),
            suggest(&measure, &known),
        );
    }
    let unit = info.map_or_else(String::new, |info| info.unit.to_owned());
    if let Some(said) = section.text("unit")
        && info.is_some()
        && said != unit
    {
        section.fault_at(
            "unit",
            format!("`{measure}` is a `{unit}`, not a `{said}`"),
            Some(format!("unit = \"{unit}\"")),
        );
    }
    let least = section.number("at_least");
    let most = section.number("at_most");
    if unit == "share" {
        for (key, bar) in [("at_least", least), ("at_most", most)] {
            if bar.is_some_and(|bar| !(0.0..=1.0).contains(&bar)) {
                section.fault_at(
                    key,
                    format!("`{key}` must lie within 0 to 1, because `{measure}` is a share"),
                    None,
                );
            }
        }
    }
    let bar = match (least, most, unit.as_str()) {
        (None, None, "fact") => Bar::Holds,
        (Some(bar), None, unit) if unit != "fact" => Bar::AtLeast(bar),
        (None, Some(bar), unit) if unit != "fact" => Bar::AtMost(bar),
        (None, None, _) => {
            if info.is_some() {
                section.fault_at(
                    "at_least",
                    "the bar is missing",
                    Some("at_least = … or at_most = …".to_owned()),
                );
            }
            Bar::Holds
        }
        (_, _, "fact") => {
            section.fault_at(
                "at_least",
                format!("`{measure}` is a fact, which holds or not: it takes no bar"),
                None,
            );
            Bar::Holds
        }
        _ => {
            section.fault_at("at_most", "there are two bars: `at_least` and `at_most`", None);
            Bar::Holds
        }
    };
    Test { measure, unit, bar }
}

fn check_ids(rubric: &str, criteria: &[Criterion], sections: &[Section<'_>]) {
    let mut seen = BTreeSet::new();
    for (criterion, section) in criteria.iter().zip(sections) {
        if criterion.id.is_empty() {
            continue;
        }
        if !seen.insert(criterion.id.as_str()) {
            section.fault_at(
                "id",
                format!("`{}` is the id of an earlier criterion too", criterion.id),
                None,
            );
        }
        let prefix = format!("{rubric}.");
        if !criterion.id.starts_with(&prefix) {
            let hint = Some(format!("`{prefix}{}`", criterion.id));
            section.fault_at(
                "id",
                format!("`{}` must begin with `{prefix}`", criterion.id),
                hint,
            );
        }
    }
}

fn check_needs(criteria: &[Criterion], sections: &[Section<'_>]) {
    let ids: Vec<&str> = criteria.iter().map(|criterion| criterion.id.as_str()).collect();
    let needs: BTreeMap<&str, &[String]> = criteria
        .iter()
        .map(|criterion| (criterion.id.as_str(), criterion.needs.as_slice()))
        .collect();
    for (criterion, section) in criteria.iter().zip(sections) {
        for need in &criterion.needs {
            if !ids.contains(&need.as_str()) {
                section.fault_at(
                    "needs",
                    format!("there is no criterion `{need}`"),
                    suggest(need, &ids),
                );
            }
        }
        for need in criteria
            .iter()
            .filter(|other| criterion.needs.contains(&other.id))
        {
            if matches!(need.rule, Rule::Judged { .. }) && !matches!(criterion.rule, Rule::Judged { .. }) {
                let message = format!(
                    "a person judges `{}`, so a run could never decide what needs it",
                    need.id
                );
                section.fault_at("needs", message, None);
            }
            if need.visibility == Audience::Staff && criterion.visibility == Audience::Student {
                let message = format!(
                    "students do not see `{}`, but what needs it would name it to them",
                    need.id
                );
                section.fault_at("needs", message, None);
            }
        }
        if reaches(&needs, &criterion.id, &criterion.id, &mut BTreeSet::new()) {
            section.fault_at(
                "needs",
                format!("`{}` needs itself, through what it needs", criterion.id),
                None,
            );
        }
    }
}

fn reaches<'a>(
    needs: &BTreeMap<&'a str, &'a [String]>,
    from: &str,
    to: &str,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    needs
        .get(from)
        .into_iter()
        .flat_map(|all| all.iter())
        .any(|need| need == to || (seen.insert(need.as_str()) && reaches(needs, need, to, seen)))
}

fn check_windows(windows: &[Window], criteria: &[Criterion], sections: &[Section<'_>]) {
    let names: Vec<&str> = windows.iter().map(|window| window.name.as_str()).collect();
    for (criterion, section) in criteria.iter().zip(sections) {
        if let Some(window) = &criterion.window
            && !names.contains(&window.as_str())
        {
            section.fault_at(
                "window",
                format!("there is no window `{window}`"),
                suggest(window, &names),
            );
        }
    }
}

fn check_sum<'a>(root: &Section<'_>, key: &str, said: f64, criteria: impl Iterator<Item = &'a Criterion>) {
    let sum: f64 = criteria.map(|criterion| criterion.points).sum();
    if (sum - said).abs() > PRECISION {
        let hint = Some(format!("`{key} = {sum}`, or other points"));
        root.fault_at(
            key,
            format!("`{key}` is {said}, but the criteria add up to {sum}"),
            hint,
        );
    }
}
