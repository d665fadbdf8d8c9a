//! The company's record of a movie: TMDB-like, with the types of the contract's profile.

use serde_json::{Map, Value, json};

use super::Profile;
use super::genre::{Genre, GenreSet};
use crate::seed::Draws;

/// A movie as the company knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Movie {
    /// The id that services answer with.
    pub id: String,
    /// The title.
    pub title: String,
    /// The year of release, where it is known.
    pub year: Option<u16>,
    /// The genres.
    pub genres: GenreSet,
    /// The length in minutes.
    pub runtime_min: u16,
    /// Whether it is for adults only.
    pub adult: bool,
    /// The record's other fields, drawn for this movie alone.
    pub(super) details: Details,
}

/// Fields that nothing else depends on. `vote_*` and `popularity` come from outside and say nothing of the company's users.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Details {
    tmdb_id: u32,
    imdb: u32,
    budget: u64,
    revenue: u64,
    popularity: f64,
    vote_average: f64,
    vote_count: u32,
    month: u8,
    day: u8,
    language: usize,
    country: usize,
    company: usize,
    collection: bool,
    homepage: bool,
    cost: f64,
    /// The factor that the course puts on it.
    pub(super) licence: f64,
}

const LANGUAGES: [(&str, &str, &str, &str); 8] = [
    ("en", "English", "US", "United States of America"),
    ("en", "English", "GB", "United Kingdom"),
    ("fr", "Français", "FR", "France"),
    ("de", "Deutsch", "DE", "Germany"),
    ("es", "Español", "ES", "Spain"),
    ("ja", "日本語", "JP", "Japan"),
    ("hi", "हिन्दी", "IN", "India"),
    ("it", "Italiano", "IT", "Italy"),
];

const LANGUAGE_SHARES: [f64; 8] = [0.58, 0.14, 0.07, 0.05, 0.05, 0.05, 0.04, 0.02];

const COMPANIES: [&str; 12] = [
    "Meridian Pictures",
    "Lanternlight Films",
    "Harbor & Sons",
    "Ninth Street Studio",
    "Kestrel Entertainment",
    "Orrery Media",
    "Blue Almanac",
    "Foundry Works",
    "Saltmarsh Productions",
    "Paper Crown",
    "Tidewater Film Group",
    "Evergreen Reel",
];

impl Details {
    pub(super) fn draw(draws: &mut Draws, number: u32, quality: f64) -> Self {
        let known = draws.chance(0.6);
        let budget = if known {
            (libm::exp(16.0 + 1.4 * draws.normal()) / 1e5).round() as u64 * 100_000
        } else {
            0
        };
        let revenue = (budget as f64 * libm::exp(0.3 + 1.1 * draws.normal())).round() as u64;
        Self {
            tmdb_id: 100 + number * 13 + draws.below(13) as u32,
            imdb: 100_000 + number * 71 + draws.below(71) as u32,
            budget,
            revenue,
            popularity: (libm::exp(1.5 + draws.normal()) * 1e6).round() / 1e6,
            vote_average: ((6.2 + 0.45 * quality + 0.75 * draws.normal()).clamp(1.0, 10.0) * 10.0).round()
                / 10.0,
            vote_count: libm::exp(4.0 + 1.7 * draws.normal()).round().min(30_000.0) as u32,
            month: 1 + draws.below(12) as u8,
            day: 1 + draws.below(28) as u8,
            language: draws.weighted(&LANGUAGE_SHARES),
            country: draws.below(COMPANIES.len() as u64) as usize,
            company: draws.below(COMPANIES.len() as u64) as usize,
            collection: draws.chance(0.1),
            homepage: draws.chance(0.2),
            cost: ((0.02 + 0.1 * draws.unit() + 0.02 * quality.max(0.0)) * 1000.0).round() / 1000.0,
            licence: 1.0,
        }
    }
}

impl Movie {
    /// Returns what the company pays for a play, in dollars; in `current` its record says so.
    pub fn cost_usd(&self) -> f64 {
        (self.details.cost * self.details.licence * 1000.0).round() / 1000.0
    }

    /// Returns the record that the company's API answers with. In `classic`, scalars other than `tmdb_id` and `runtime`
    /// are strings, what is missing is `"null"` and no collection is `{}`; `current` has proper types and `cost`.
    pub fn to_json(&self, profile: Profile) -> Value {
        let details = &self.details;
        let (code, language, region, country) = LANGUAGES[details.language];
        let genres: Vec<Value> = self
            .genres
            .iter()
            .map(|genre: Genre| json!({"id": genre.tmdb_id(), "name": genre.name()}))
            .collect();
        let release_date = self
            .year
            .map(|year| format!("{year:04}-{:02}-{:02}", details.month, details.day));
        let homepage = details
            .homepage
            .then(|| format!("http://www.{}.example", self.id.replace(['+', '*', '_'], "")));
        let collection = details.collection.then(|| {
            json!({
                "id": details.tmdb_id + 1_000_000,
                "name": format!("{} Collection", self.title),
                "poster_path": format!("/c{}.jpg", details.tmdb_id),
                "backdrop_path": format!("/d{}.jpg", details.tmdb_id),
            })
        });
        let scalar = |value: Value| match profile {
            Profile::Current => value,
            Profile::Classic => Value::from(classic_text(&value)),
        };
        let mut record = Map::new();
        let mut put = |key: &str, value: Value| {
            record.insert(key.to_owned(), value);
        };
        put("id", Value::from(self.id.as_str()));
        put("tmdb_id", Value::from(details.tmdb_id));
        put("imdb_id", scalar(Value::from(format!("tt{:07}", details.imdb))));
        put("title", scalar(Value::from(self.title.as_str())));
        put("original_title", scalar(Value::from(self.title.as_str())));
        put("adult", scalar(Value::from(self.adult)));
        let no_collection = match profile {
            Profile::Classic => json!({}),
            Profile::Current => Value::Null,
        };
        put("belongs_to_collection", collection.unwrap_or(no_collection));
        put("budget", scalar(Value::from(details.budget)));
        put("genres", Value::from(genres));
        put("homepage", scalar(homepage.map_or(Value::Null, Value::from)));
        put("original_language", scalar(Value::from(code)));
        put("overview", scalar(Value::from(self.overview())));
        put("popularity", scalar(Value::from(details.popularity)));
        put(
            "poster_path",
            scalar(Value::from(format!("/p{}.jpg", details.tmdb_id))),
        );
        let companies = [details.company, details.country];
        let companies: Vec<Value> = companies[..=usize::from(details.company != details.country)]
            .iter()
            .map(|company| json!({"name": COMPANIES[*company], "id": 3000 + company}))
            .collect();
        put("production_companies", Value::from(companies));
        put(
            "production_countries",
            json!([{"iso_3166_1": region, "name": country}]),
        );
        put(
            "release_date",
            scalar(release_date.map_or(Value::Null, Value::from)),
        );
        put("revenue", scalar(Value::from(details.revenue)));
        put("runtime", Value::from(self.runtime_min));
        put("spoken_languages", json!([{"iso_639_1": code, "name": language}]));
        put("status", scalar(Value::from("Released")));
        put("vote_average", scalar(Value::from(details.vote_average)));
        put("vote_count", scalar(Value::from(details.vote_count)));
        if profile == Profile::Current {
            put("cost", Value::from(self.cost_usd()));
        }
        Value::Object(record)
    }

    fn overview(&self) -> String {
        let names: Vec<String> = self
            .genres
            .iter()
            .map(|genre| genre.name().to_lowercase())
            .collect();
        format!("A {} story: {}.", names.join(" and "), self.title.to_lowercase())
    }
}

/// Writes a scalar as the classic records do, which were once printed by Python.
pub fn classic_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
