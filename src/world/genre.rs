//! The twenty genres: how frequent each is, which go together, and which are thought highbrow.

/// A genre of the catalogue, with the names that the company's records use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Genre(pub(super) u8);

/// The number of genres.
pub const GENRES: usize = 20;

/// Name, TMDB's number, share as a first genre, highbrow loading, typical runtime in minutes, female-to-male and
/// old-to-young log ratios of consumption (MovieLens 100K where it has the genre, else 0).
struct Facts(&'static str, u32, f64, f64, f64, f64, f64);

const FACTS: [Facts; GENRES] = [
    Facts("Action", 28, 0.110, -0.5, 112.0, -0.25, -0.27),
    Facts("Adventure", 12, 0.050, -0.3, 110.0, -0.10, -0.20),
    Facts("Animation", 16, 0.035, 0.0, 90.0, 0.10, -0.64),
    Facts("Comedy", 35, 0.185, -0.3, 98.0, 0.02, -0.10),
    Facts("Crime", 80, 0.050, 0.2, 108.0, -0.19, 0.10),
    Facts("Documentary", 99, 0.050, 0.8, 95.0, 0.0, 0.42),
    Facts("Drama", 18, 0.220, 0.7, 115.0, 0.10, 0.28),
    Facts("Family", 10751, 0.025, -0.3, 97.0, 0.26, -0.46),
    Facts("Fantasy", 14, 0.020, -0.2, 108.0, 0.05, -0.20),
    Facts("Foreign", 10769, 0.015, 0.9, 108.0, 0.05, 0.30),
    Facts("History", 36, 0.012, 0.6, 122.0, 0.0, 0.30),
    Facts("Horror", 27, 0.060, -0.8, 97.0, -0.05, -0.49),
    Facts("Music", 10402, 0.012, 0.3, 104.0, 0.17, 0.05),
    Facts("Mystery", 9648, 0.018, 0.3, 106.0, 0.0, 0.34),
    Facts("Romance", 10749, 0.040, 0.0, 106.0, 0.22, 0.05),
    Facts("Science Fiction", 878, 0.035, -0.2, 110.0, -0.29, -0.15),
    Facts("TV Movie", 10770, 0.008, -0.4, 90.0, 0.05, 0.10),
    Facts("Thriller", 53, 0.055, -0.1, 106.0, -0.05, 0.0),
    Facts("War", 10752, 0.010, 0.5, 118.0, -0.10, 0.34),
    Facts("Western", 37, 0.010, 0.1, 104.0, -0.33, 0.30),
];

/// Pairs that go together: the logarithm by which one makes the other likelier as a further genre.
const LIFTS: [(u8, u8, f64); 22] = [
    (2, 7, 2.2),
    (0, 1, 1.4),
    (1, 8, 1.5),
    (17, 0, 1.2),
    (17, 4, 1.4),
    (4, 6, 0.5),
    (15, 0, 1.3),
    (15, 1, 1.0),
    (14, 3, 0.7),
    (14, 6, 0.6),
    (18, 6, 0.6),
    (18, 10, 2.5),
    (11, 17, 1.6),
    (13, 17, 1.8),
    (13, 4, 1.2),
    (10, 6, 0.7),
    (7, 3, 0.6),
    (7, 1, 1.2),
    (19, 0, 1.3),
    (12, 3, 0.3),
    (12, 6, 0.2),
    (9, 6, 0.8),
];

impl Genre {
    /// Returns every genre in the order of its name.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..GENRES as u8).map(Self)
    }

    /// Returns the genre of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|genre| genre.name() == name)
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// Returns the number that TMDB gives it.
    pub fn tmdb_id(self) -> u32 {
        self.facts().1
    }

    /// Returns its place, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn share(self) -> f64 {
        self.facts().2
    }

    pub(super) fn highbrow(self) -> f64 {
        self.facts().3
    }

    pub(super) fn runtime_min(self) -> f64 {
        self.facts().4
    }

    pub(super) fn female_lift(self) -> f64 {
        self.facts().5
    }

    pub(super) fn age_lift(self) -> f64 {
        self.facts().6
    }

    /// Returns the logarithm by which this genre makes another likelier beside it.
    pub(super) fn lift(self, other: Self) -> f64 {
        LIFTS
            .iter()
            .find(|(a, b, _)| (*a, *b) == (self.0, other.0) || (*b, *a) == (self.0, other.0))
            .map_or(0.0, |(_, _, lift)| *lift)
    }

    fn facts(self) -> &'static Facts {
        &FACTS[usize::from(self.0)]
    }
}

/// A set of genres in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GenreSet(u32);

impl GenreSet {
    /// Adds a genre.
    pub fn insert(&mut self, genre: Genre) {
        self.0 |= 1 << genre.0;
    }

    /// Tells whether a genre is in the set.
    pub fn holds(self, genre: Genre) -> bool {
        self.0 & (1 << genre.0) != 0
    }

    /// Tells whether the two sets have a genre in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the number of genres.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Tells whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the genres in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = Genre> {
        Genre::all().filter(move |genre| self.holds(*genre))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_first_genres_add_up_and_names_are_in_order() {
        let total: f64 = Genre::all().map(Genre::share).sum();
        assert!((total - 1.02).abs() < 0.03, "{total}");
        let names: Vec<&str> = Genre::all().map(Genre::name).collect();
        assert!(names.is_sorted());
        assert_eq!(Genre::named("Western"), Some(Genre(19)));
    }
}
