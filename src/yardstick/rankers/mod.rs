//! Small recommenders, each as it stands in the textbooks: they show whether a log rewards what reality rewards.

mod bpr;
mod ease;
mod factors;
mod neighbours;
mod simple;
mod stars;

use super::dataset::Dataset;
use crate::seed::Branch;

pub use stars::{StarModel, fit_star_model};

/// A trained recommender.
pub trait Ranker: Sync + Send {
    /// Returns its name in tables.
    fn name(&self) -> &'static str;
    /// Fills `scores`, one for each movie of the log, with how much a user should be recommended each: higher is better.
    fn scores(&self, user: usize, scores: &mut [f64]);
}

/// A recommender to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// A number drawn for each user and movie.
    Random,
    /// How the user's mix of genres differs from everybody's, against the movie's genres.
    GenreContent,
    /// The movie's mean stars, shrunk towards the mean of all.
    ItemAvg,
    /// Stars predicted by biases and four factors.
    MfRating,
    /// The number of viewers.
    Pop,
    /// The number of viewers among the last fifth of the log.
    RecentPop,
    /// The number of viewers of the user's gender and age band, shrunk towards that of all.
    DemoPop,
    /// The number of viewers times the user's liking of the movie's genres.
    GenrePop,
    /// Factors trained on pairs of met and unmet movies (Rendle et al. 2009).
    Bpr,
    /// What the fifty most similar users met.
    UserKnn,
    /// What is met together with what the user met.
    ItemKnn,
    /// The projection on sixteen singular vectors (Cremonesi et al. 2010).
    PureSvd,
    /// Weighted least squares over all pairs (Hu, Koren and Volinsky 2008).
    Ials,
    /// The linear autoencoder in closed form (Steck 2019).
    Ease,
}

impl Algorithm {
    /// Every algorithm, roughly from the weakest to the strongest on MovieLens 100K.
    pub const ALL: [Self; 14] = [
        Self::Random,
        Self::GenreContent,
        Self::ItemAvg,
        Self::MfRating,
        Self::Pop,
        Self::RecentPop,
        Self::DemoPop,
        Self::GenrePop,
        Self::Bpr,
        Self::UserKnn,
        Self::ItemKnn,
        Self::PureSvd,
        Self::Ials,
        Self::Ease,
    ];

    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "Random",
            Self::GenreContent => "GenreContent",
            Self::ItemAvg => "ItemAvg",
            Self::MfRating => "MFrating",
            Self::Pop => "Pop",
            Self::RecentPop => "RecentPop",
            Self::DemoPop => "DemoPop",
            Self::GenrePop => "GenrePop",
            Self::Bpr => "BPR",
            Self::UserKnn => "UserKNN",
            Self::ItemKnn => "ItemKNN",
            Self::PureSvd => "PureSVD",
            Self::Ials => "iALS",
            Self::Ease => "EASE",
        }
    }

    /// Trains it on a log; the same log and branch give the same recommender.
    ///
    /// What a log does not tell is neutral: without stars all movies have the same mean, without genres or demographics the
    /// rankers that use them fall back on popularity or give the same score to all.
    pub fn fit(self, data: &Dataset, branch: &Branch) -> Box<dyn Ranker> {
        let branch = branch.branch(self.name());
        match self {
            Self::Random => Box::new(simple::Random::new(branch)),
            Self::GenreContent => Box::new(simple::GenreContent::fit(data)),
            Self::ItemAvg => Box::new(simple::Fixed::item_average(data)),
            Self::MfRating => Box::new(stars::MfRating::fit(data, &branch)),
            Self::Pop => Box::new(simple::Fixed::popularity(data)),
            Self::RecentPop => Box::new(simple::Fixed::recent(data)),
            Self::DemoPop => Box::new(simple::DemoPop::fit(data)),
            Self::GenrePop => Box::new(simple::GenrePop::fit(data)),
            Self::Bpr => Box::new(bpr::fit(data, &branch)),
            Self::UserKnn => Box::new(neighbours::UserKnn::fit(data)),
            Self::ItemKnn => Box::new(neighbours::ItemKnn::fit(data)),
            Self::PureSvd => Box::new(factors::pure_svd(data, &branch)),
            Self::Ials => Box::new(factors::ials(data, &branch)),
            Self::Ease => Box::new(ease::Ease::fit(data)),
        }
    }
}

/// Returns the movies that each user met, in order of time.
fn histories(data: &Dataset) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new(); data.users.len()];
    for meeting in &data.meetings {
        all[meeting.user as usize].push(meeting.movie as usize);
    }
    all
}

/// Who met what, from both sides.
#[derive(Debug, Clone)]
struct Incidence {
    /// The movies of each user, in order of place.
    movies_of: Vec<Vec<u32>>,
    /// The users of each movie, in order of place.
    users_of: Vec<Vec<u32>>,
}

impl Incidence {
    fn new(data: &Dataset) -> Self {
        let mut movies_of = vec![Vec::new(); data.users.len()];
        let mut users_of = vec![Vec::new(); data.movies.len()];
        for meeting in &data.meetings {
            movies_of[meeting.user as usize].push(meeting.movie);
            users_of[meeting.movie as usize].push(meeting.user);
        }
        for list in movies_of.iter_mut().chain(&mut users_of) {
            list.sort_unstable();
        }
        Self { movies_of, users_of }
    }
}

#[cfg(test)]
mod tests;
