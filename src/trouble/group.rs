//! A group of users whose share of the log, or whose ratings, are not what they were.

use crate::seed::Branch;
use crate::sim::Logged;
use crate::world::{Gender, Occupation, UserId, World};

/// The users that a trouble concerns, by one attribute of the company's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// By gender.
    Gender(Gender),
    /// By age band, as fairness compares them.
    AgeBand(&'static str),
    /// By occupation.
    Occupation(Occupation),
}

impl Group {
    /// The age bands, youngest first.
    pub const AGE_BANDS: [&'static str; 4] = ["under 25", "25-34", "35-49", "50 and over"];

    /// Tells whether a user belongs to it; nobody whom the company does not know does.
    pub fn holds(self, world: &World, id: UserId) -> bool {
        world.user(id).is_some_and(|user| match self {
            Self::Gender(gender) => user.gender == gender,
            Self::AgeBand(band) => user.age_band() == band,
            Self::Occupation(occupation) => user.occupation == occupation,
        })
    }

    /// Returns attribute and value, as in `gender F`.
    pub fn label(self) -> String {
        match self {
            Self::Gender(gender) => format!("gender {}", gender.letter()),
            Self::AgeBand(band) => format!("age band {band}"),
            Self::Occupation(occupation) => format!("occupation {}", occupation.label()),
        }
    }
}

/// How a group is treated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupBias {
    /// Whose viewings.
    pub group: Group,
    /// The share of viewings that never reach the log.
    pub lost: f64,
    /// The standard deviation, in stars, of noise that is added to ratings.
    pub noise: f64,
    /// The stars by which ratings are lower than they were given.
    pub deflated: f64,
}

impl GroupBias {
    /// Returns a viewing of the group as the log has it; none when it is lost. One draw a viewing, keyed by user and second.
    pub(super) fn change(&self, branch: &Branch, top: u8, mut logged: Logged) -> Option<Logged> {
        let viewing = &mut logged.viewing;
        let second = viewing.at.seconds() as u64 & 0xffff_ffff;
        let mut draws = branch.at(u64::from(viewing.user.0) << 32 | second);
        // All three draws whatever the parameters, so that two strengths of a trouble share their luck.
        let (luck, noise, rounding) = (draws.unit(), draws.normal(), draws.unit());
        if luck < self.lost {
            return None;
        }
        if let Some(stars) = viewing.stars {
            let wanted = f64::from(stars) + self.noise * noise - self.deflated;
            // Rounded by chance, so that a loss of half a star is half a star on average.
            let stars = (wanted + rounding).floor().clamp(1.0, f64::from(top));
            viewing.stars = Some(stars as u8);
        }
        Some(logged)
    }
}
