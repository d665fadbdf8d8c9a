//! Who the users are: age, gender, occupation, with the company's marginals.

use serde_json::{Value, json};

use crate::seed::Draws;

/// The age from which a viewer is an adult.
pub const OF_AGE: u8 = 18;

/// A user's number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// Gender as the company records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gender {
    /// Recorded as `F`.
    Female,
    /// Recorded as `M`.
    Male,
}

impl Gender {
    /// Returns the letter of the company's records.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Female => "F",
            Self::Male => "M",
        }
    }
}

/// One of the 21 occupations of MovieLens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occupation(pub(super) u8);

/// The youngest and the oldest user there is.
pub const AGES: std::ops::RangeInclusive<u8> = 8..=90;

/// The share of users recorded as male.
const MALE: f64 = 0.82;

/// Labels with their weight among adults of their age, and the mean age of those who hold them; the weights were solved
/// for the shares that the company shows.
const OCCUPATIONS: [(&str, f64, f64); 21] = [
    ("other or not specified", 90.9, 31.0),
    ("academic/educator", 30.0, 40.0),
    ("artist", 18.0, 31.0),
    ("clerical/admin", 22.0, 33.0),
    ("college/grad student", 429.2, 22.0),
    ("customer service", 18.0, 29.0),
    ("doctor/health care", 22.0, 38.0),
    ("executive/managerial", 315.5, 36.0),
    ("farmer", 4.0, 35.0),
    ("homemaker", 10.0, 34.0),
    ("K-12 student", 0.0, 14.0),
    ("lawyer", 14.0, 36.0),
    ("programmer", 26.0, 32.0),
    ("retired", 12.0, 66.0),
    ("sales/marketing", 207.5, 32.0),
    ("scientist", 145.7, 34.0),
    ("self-employed", 116.2, 36.0),
    ("technician/engineer", 16.0, 34.0),
    ("tradesman/craftsman", 8.0, 33.0),
    ("unemployed", 6.0, 28.0),
    ("writer", 14.0, 35.0),
];

const K12: u8 = 10;
const RETIRED: u8 = 13;

impl Occupation {
    /// Returns every occupation.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..OCCUPATIONS.len() as u8).map(Self)
    }

    /// Returns the label of the company's records.
    pub fn label(self) -> &'static str {
        OCCUPATIONS[usize::from(self.0)].0
    }
}

/// A user as the company knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The number.
    pub id: UserId,
    /// The age in years.
    pub age: u8,
    /// The gender.
    pub gender: Gender,
    /// The occupation.
    pub occupation: Occupation,
    /// What they say they like, in their own imperfect words (profile `current`, not everybody).
    pub likes: Option<String>,
    /// What they say they dislike.
    pub dislikes: Option<String>,
}

impl User {
    /// Returns the record that the company's API answers with.
    pub fn to_json(&self) -> Value {
        let mut record = json!({
            "user_id": self.id.0,
            "age": self.age,
            "occupation": self.occupation.label(),
            "gender": self.gender.letter(),
        });
        let fields = record.as_object_mut().expect("the record is an object");
        if let Some(text) = &self.likes {
            fields.insert("self_description_likes".to_owned(), Value::from(text.as_str()));
        }
        if let Some(text) = &self.dislikes {
            fields.insert("self_description_dislikes".to_owned(), Value::from(text.as_str()));
        }
        record
    }

    /// Returns the age band in which fairness compares: `under 25`, `25-34`, `35-49`, `50 and over`.
    pub fn age_band(&self) -> &'static str {
        match self.age {
            ..25 => "under 25",
            25..35 => "25-34",
            35..50 => "35-49",
            50.. => "50 and over",
        }
    }
}

/// Draws age, gender and occupation.
pub(super) fn draw(draws: &mut Draws) -> (u8, Gender, Occupation) {
    let gender = if draws.chance(MALE) {
        Gender::Male
    } else {
        Gender::Female
    };
    // A skewed bell around 30: most are 20 to 40, a tail reaches 90.
    let spread = 0.36 * draws.normal();
    let age = (28.2 * libm::exp(spread))
        .round()
        .clamp(f64::from(*AGES.start()), f64::from(*AGES.end())) as u8;
    (age, gender, occupation(age, draws))
}

/// Draws an occupation that fits an age: a school child is no executive, a retired person no school child.
fn occupation(age: u8, draws: &mut Draws) -> Occupation {
    if age < 18 {
        return if draws.chance(0.86) {
            Occupation(K12)
        } else {
            Occupation(0)
        };
    }
    let mut weights = [0.0; OCCUPATIONS.len()];
    for (weight, (_, share, mean)) in weights.iter_mut().zip(OCCUPATIONS) {
        let distance = (f64::from(age) - mean) / 14.0;
        *weight = share * libm::exp(-0.5 * distance * distance);
    }
    if age >= 58 {
        weights[usize::from(RETIRED)] *= 12.0;
    }
    Occupation(draws.weighted(&weights) as u8)
}
