//! The company before anything happens: users, movies, tastes, all drawn from one secret key.
//!
//! A world is a structure of arrays. Nothing in it depends on the order of asking or on the number of threads; a user's
//! taste is not stored but drawn again from the user's own branch whenever it is needed.

mod feedback;
mod genre;
mod habits;
mod people;
mod record;
mod taste;
mod titles;
mod words;
mod worth;

use std::collections::HashMap;

pub use feedback::{Feedback, Strength};
pub use genre::{GENRES, Genre, GenreSet};
pub use habits::{Drift, DriftKind, Habits, Moment};
pub use people::{AGES, Gender, OF_AGE, Occupation, User, UserId};
pub use record::{Movie, classic_text};
pub use taste::Taste;
pub use titles::slug;

use crate::seed::{Branch, Draws, Key};
use record::Details;
use taste::{MovieTraits, Space};
use worth::Merits;

/// A movie's place in the catalogue, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MovieIndex(pub u32);

/// Which years' contract the company keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// 2019 to spring 2025: five stars, answers within 800 ms, records of strings.
    Classic,
    /// From 2026: ten stars, answers within 600 ms, proper types, self-descriptions, licence cost.
    Current,
}

impl Profile {
    /// Returns the name of course files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Current => "current",
        }
    }

    /// Returns the milliseconds within which an answer is wanted.
    pub fn deadline_ms(self) -> u64 {
        match self {
            Self::Classic => 800,
            Self::Current => 600,
        }
    }

    /// Returns the number of stars that a rating may have.
    pub fn stars(self) -> u8 {
        match self {
            Self::Classic => 5,
            Self::Current => 10,
        }
    }
}

/// How large a world is, and by which contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorldSpec {
    /// The number of users.
    pub users: u32,
    /// The number of movies.
    pub movies: u32,
    /// The contract.
    pub profile: Profile,
}

/// The year in which the company stands: the newest movies are of this year.
pub const YEAR: u16 = 2026;
/// The oldest year of a movie.
const OLDEST: u16 = 1921;
/// One movie in this many has no known year.
const UNDATED: f64 = 1.0 / 400.0;
/// One movie in this many is for adults only.
const ADULT: f64 = 1.0 / 250.0;
/// How often a title is drawn anew because its id is taken, before a number is added to it.
const TITLE_TRIES: u64 = 8;

/// The company's users and movies, and the tastes that the grader alone knows.
#[derive(Debug)]
pub struct World {
    spec: WorldSpec,
    fingerprint: String,
    users: Branch,
    idiosyncrasy: Branch,
    ages: Vec<u8>,
    women: Vec<bool>,
    occupations: Vec<u8>,
    activity: Vec<f32>,
    /// Where among all users each stands in what else was drawn of them: who joins late, who shares the account.
    ranks: Vec<[u16; 2]>,
    movies: Vec<Movie>,
    /// Where among this year's movies each stands in the order of coming out.
    movie_ranks: Vec<u16>,
    traits: Vec<MovieTraits>,
    merits: Merits,
    by_id: HashMap<String, MovieIndex>,
    habits: Habits,
}

/// The days of a term, over which those who come late are spread.
pub const TERM_DAYS: f64 = 100.0;

impl World {
    /// Draws a world; `threads` changes the time it takes and nothing else.
    ///
    /// # Panics
    /// When there are no users or fewer than 20 movies, as a list of recommendations needs.
    pub fn new(key: &Key, spec: WorldSpec, threads: usize) -> Self {
        assert!(
            spec.users > 0 && spec.movies >= 20,
            "a world needs users and at least 20 movies"
        );
        let root = key.branch("world");
        let users = root.branch("users");
        let (movies, traits) = draw_movies(&root.branch("movies"), spec.movies);
        let by_id = movies
            .iter()
            .enumerate()
            .map(|(place, movie)| (movie.id.clone(), MovieIndex(place as u32)))
            .collect();
        let columns = draw_users(&users, spec.users, threads.max(1));
        Self {
            spec,
            fingerprint: key.fingerprint(),
            idiosyncrasy: root.branch("idiosyncrasy"),
            users,
            ages: columns.ages,
            women: columns.women,
            occupations: columns.occupations,
            activity: columns.activity,
            ranks: columns.ranks,
            movie_ranks: draw_movie_ranks(&root.branch("arrivals"), spec.movies),
            movies,
            merits: Merits::new(&traits),
            traits,
            by_id,
            habits: Habits::default(),
        }
    }

    /// Gives its viewers other habits; users, movies and tastes stay the same.
    #[must_use]
    pub fn with_habits(mut self, habits: Habits) -> Self {
        for movie in &mut self.movies {
            movie.details.licence = habits.licence;
        }
        self.habits = habits;
        self
    }

    /// Returns the habits of its viewers.
    pub fn habits(&self) -> &Habits {
        &self.habits
    }

    /// Returns the day of the term, with its fraction, on which a user makes their account; none for those who had one
    /// before, and for a number that is not given.
    pub fn joined(&self, id: UserId) -> Option<f64> {
        let rank = self.ranks[self.place(id)?][0];
        late(rank, self.habits.joining)
    }

    /// Returns the day of the term, with its fraction, on which a movie comes out; none for those that are there before.
    pub fn arrived(&self, index: MovieIndex) -> Option<f64> {
        let place = index.0 as usize;
        let is_new = self.movies[place].year == Some(YEAR);
        late(self.movie_ranks[place], self.habits.arriving).filter(|_| is_new)
    }

    /// Returns the taste of the second person who uses a user's account; none where there is nobody.
    pub fn guest(&self, id: UserId) -> Option<Taste> {
        let place = self.place(id)?;
        let shares = f64::from(self.ranks[place][1]) < self.habits.guests * RANKS;
        // Of the same household: about as old, and the other gender.
        let gender = match self.gender(place) {
            Gender::Female => Gender::Male,
            Gender::Male => Gender::Female,
        };
        shares.then(|| taste::user(&mut self.draws(id, "guest"), self.ages[place], gender))
    }

    /// Returns its size and contract.
    pub fn spec(&self) -> WorldSpec {
        self.spec
    }

    /// Returns eight digits that name the key without giving it away.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns every user's number, in order.
    pub fn user_ids(&self) -> impl Iterator<Item = UserId> + use<> {
        (1..=self.spec.users).map(UserId)
    }

    /// Returns every movie's place, in order.
    pub fn movie_indices(&self) -> impl Iterator<Item = MovieIndex> + use<> {
        (0..self.spec.movies).map(MovieIndex)
    }

    /// Returns a user as the company knows them; none for a number that is not given.
    pub fn user(&self, id: UserId) -> Option<User> {
        let place = self.place(id)?;
        let (likes, dislikes) = match self.spec.profile {
            Profile::Classic => (None, None),
            Profile::Current => words::describe(&self.taste(id)?, &mut self.draws(id, "words")),
        };
        Some(User {
            id,
            age: self.ages[place],
            gender: self.gender(place),
            occupation: Occupation::all().nth(usize::from(self.occupations[place]))?,
            likes,
            dislikes,
        })
    }

    /// Returns a user's taste; none for a number that is not given.
    pub fn taste(&self, id: UserId) -> Option<Taste> {
        let place = self.place(id)?;
        Some(taste::user(
            &mut self.draws(id, "taste"),
            self.ages[place],
            self.gender(place),
        ))
    }

    /// Returns how many viewings a user has in thirty days, on average.
    pub fn activity(&self, id: UserId) -> Option<f64> {
        Some(f64::from(self.activity[self.place(id)?]))
    }

    /// Returns a movie.
    ///
    /// # Panics
    /// When the catalogue is smaller than the place.
    pub fn movie(&self, index: MovieIndex) -> &Movie {
        &self.movies[index.0 as usize]
    }

    /// Returns the place of the movie with this id.
    pub fn movie_index(&self, id: &str) -> Option<MovieIndex> {
        self.by_id.get(id).copied()
    }

    /// Returns the movies in the order in which they are known and liked by all, the foremost first.
    pub fn by_appeal(&self) -> Vec<MovieIndex> {
        let mut order: Vec<MovieIndex> = self.movie_indices().collect();
        order.sort_by(|a, b| {
            let appeal = |index: &MovieIndex| self.traits[index.0 as usize].appeal;
            appeal(b).total_cmp(&appeal(a)).then(a.cmp(b))
        });
        order
    }

    /// Returns how known and liked a movie is, in logits.
    pub fn appeal(&self, index: MovieIndex) -> f64 {
        self.traits[index.0 as usize].appeal
    }

    /// Returns the pull of a movie on a taste when its owner chooses by themselves, in logits, before noise.
    pub fn pull(&self, taste: &Taste, index: MovieIndex) -> f64 {
        taste.pull(&self.traits[index.0 as usize])
    }

    /// Returns what the time adds to the pull of a movie, in logits; none when the movie is not to be had yet.
    pub fn shift(&self, moment: &Moment, index: MovieIndex) -> Option<f64> {
        if self.is_still(moment) {
            return Some(0.0);
        }
        let genres = self.movies[index.0 as usize].genres;
        let is_there =
            !genres.meets(moment.absent) && self.arrived(index).is_none_or(|day| day <= moment.day);
        is_there.then(|| moment.shift(genres))
    }

    /// Whether the time adds nothing to the pull of any movie, and all are to be had.
    fn is_still(&self, moment: &Moment) -> bool {
        !moment.is_shifted && moment.absent.is_empty() && self.habits.arriving == 0.0
    }

    /// Returns [`World::shift`] for the whole catalogue, minus infinity for what is not to be had; none when it is still.
    fn shifts(&self, moment: &Moment) -> Option<Vec<f32>> {
        let shift = |index| {
            self.shift(moment, index)
                .map_or(f32::NEG_INFINITY, |shift| shift as f32)
        };
        (!self.is_still(moment)).then(|| self.movie_indices().map(shift).collect())
    }

    /// Fills `worth` with the true worth of every movie to a user, each in [0, 1]; empty for a number that is not given.
    ///
    /// Expected enjoyment: acceptance without awareness, times satisfaction, on what could be learnt from behaviour.
    pub fn enjoyment(&self, id: UserId, worth: &mut Vec<f64>) {
        self.enjoyment_at(id, &self.habits.moment(0.0), worth);
    }

    /// As [`World::enjoyment`], at a time: taste drifts, and what is not to be had yet is worth nothing.
    pub fn enjoyment_at(&self, id: UserId, moment: &Moment, worth: &mut Vec<f64>) {
        worth.clear();
        let Some(taste) = self.taste(id) else { return };
        self.merits
            .enjoyment(&taste, &self.traits, self.shifts(moment).as_deref(), worth);
    }

    /// Returns the `k` movies of the highest worth to each of some users at a time, the foremost first, ties in the order of
    /// the catalogue: the heads of what [`World::enjoyment_at`] sorts to. Empty for a number that is not given.
    pub fn best(&self, ids: &[UserId], moment: &Moment, k: usize) -> Vec<Vec<MovieIndex>> {
        let shifts = self.shifts(moment);
        let tastes: Vec<Option<Taste>> = ids.iter().map(|id| self.taste(*id)).collect();
        let known: Vec<&Taste> = tastes.iter().flatten().collect();
        let mut found = self
            .merits
            .best(&known, &self.traits, shifts.as_deref(), k)
            .into_iter();
        let movies = |places: Vec<usize>| places.into_iter().map(|place| MovieIndex(place as u32)).collect();
        tastes
            .iter()
            .map(|taste| {
                taste
                    .as_ref()
                    .and_then(|_| found.next())
                    .map_or_else(Vec::new, movies)
            })
            .collect()
    }

    /// Returns the threshold, in logits, at which a user would take as many movies of the whole catalogue as they watch in
    /// thirty days; none for a number that is not given. It is the user's own and does not move with time.
    pub fn acceptance_level(&self, id: UserId) -> Option<f64> {
        let taste = self.taste(id)?;
        let moment = self.habits.moment(0.0);
        Some(self.merits.level(&taste, self.shifts(&moment).as_deref()))
    }

    /// Returns the pull, in logits, of a movie that is put before a viewer: being shown it makes awareness of it irrelevant.
    /// None when the movie is not to be had.
    pub fn pull_shown(&self, taste: &Taste, moment: &Moment, index: MovieIndex) -> Option<f64> {
        let shift = self.shift(moment, index)?;
        Some(self.merits.pull(taste, index.0 as usize) + shift)
    }

    /// Returns how satisfied a user truly is with a movie, standardised.
    pub fn felt(&self, id: UserId, taste: &Taste, index: MovieIndex) -> f64 {
        taste.felt(&self.traits[index.0 as usize], self.idiosyncrasy(id, index))
    }

    /// Returns the stars, on the contract's scale, that a user gives a movie on an occasion (a standard normal draw).
    pub fn stars(&self, id: UserId, taste: &Taste, index: MovieIndex, occasion: f64) -> u8 {
        self.stars_at(id, taste, index, occasion, &Moment::default())
    }

    /// As [`World::stars`], at a time at which the ruler may have moved.
    pub fn stars_at(
        &self,
        id: UserId,
        taste: &Taste,
        index: MovieIndex,
        occasion: f64,
        moment: &Moment,
    ) -> u8 {
        let movie = &self.traits[index.0 as usize];
        let stars = taste.stars(movie, self.idiosyncrasy(id, index), occasion, moment.label);
        match self.spec.profile {
            Profile::Classic => stars,
            // Ten stars are finer, not other: each of the five splits by the occasion.
            Profile::Current => 2 * stars - u8::from(occasion < 0.0),
        }
    }

    /// Returns the user's stable idiosyncrasy about a movie: a standard normal draw, nobody else's.
    fn idiosyncrasy(&self, id: UserId, index: MovieIndex) -> f64 {
        self.idiosyncrasy
            .at(u64::from(id.0) << 32 | u64::from(index.0))
            .normal()
    }

    fn place(&self, id: UserId) -> Option<usize> {
        (1..=self.spec.users).contains(&id.0).then(|| id.0 as usize - 1)
    }

    fn gender(&self, place: usize) -> Gender {
        if self.women[place] {
            Gender::Female
        } else {
            Gender::Male
        }
    }

    fn draws(&self, id: UserId, what: &str) -> Draws {
        user_draws(&self.users, id, what)
    }
}

/// The places of a user's draws: a few thousand indices each, so that no two uses meet.
fn user_draws(users: &Branch, id: UserId, what: &str) -> Draws {
    let use_of = match what {
        "person" => 0,
        "taste" => 1,
        "guest" => 3,
        _ => 2,
    };
    users.at(u64::from(id.0) << 2 | use_of)
}

struct UserColumns {
    ranks: Vec<[u16; 2]>,
    ages: Vec<u8>,
    women: Vec<bool>,
    occupations: Vec<u8>,
    activity: Vec<f32>,
}

fn draw_users(users: &Branch, count: u32, threads: usize) -> UserColumns {
    let chunk = (count as usize).div_ceil(threads).max(1);
    let mut columns = UserColumns {
        ages: vec![0; count as usize],
        women: vec![false; count as usize],
        occupations: vec![0; count as usize],
        activity: vec![0.0; count as usize],
        ranks: vec![[0; 2]; count as usize],
    };
    std::thread::scope(|scope| {
        let parts = columns
            .ages
            .chunks_mut(chunk)
            .zip(columns.women.chunks_mut(chunk))
            .zip(
                columns.occupations.chunks_mut(chunk).zip(
                    columns
                        .activity
                        .chunks_mut(chunk)
                        .zip(columns.ranks.chunks_mut(chunk)),
                ),
            );
        for (part, ((ages, women), (occupations, (activity, ranks)))) in parts.enumerate() {
            scope.spawn(move || {
                for place in 0..ages.len() {
                    let id = UserId((part * chunk + place) as u32 + 1);
                    let mut person = user_draws(users, id, "person");
                    let (age, gender, occupation) = people::draw(&mut person);
                    let rank = person.bits();
                    ranks[place] = [rank as u16, (rank >> 16) as u16];
                    ages[place] = age;
                    women[place] = gender == Gender::Female;
                    occupations[place] = occupation.0;
                    let taste = taste::activity(&mut user_draws(users, id, "taste"), age, gender);
                    activity[place] = taste as f32;
                }
            });
        }
    });
    columns
}

/// The number of ranks.
const RANKS: f64 = 65_536.0;

/// Returns when in the term somebody of this rank comes, if they are among the share that comes late.
fn late(rank: u16, share: f64) -> Option<f64> {
    let place = f64::from(rank) / (share * RANKS);
    (place < 1.0).then_some(place * TERM_DAYS)
}

fn draw_movie_ranks(branch: &Branch, count: u32) -> Vec<u16> {
    (0..u64::from(count))
        .map(|number| branch.at(number).bits() as u16)
        .collect()
}

fn draw_movies(branch: &Branch, count: u32) -> (Vec<Movie>, Vec<MovieTraits>) {
    let space = Space::draw(branch.branch("space").at(0));
    let titles = branch.branch("titles");
    let facts = branch.branch("facts");
    let latent = branch.branch("latent");
    let records = branch.branch("records");
    let mut taken = HashMap::new();
    let mut movies = Vec::with_capacity(count as usize);
    let mut traits = Vec::with_capacity(count as usize);
    for number in 0..count {
        let mut draws = facts.at(u64::from(number));
        let age = draw_age(&mut draws);
        let year = YEAR.saturating_sub(age as u16).max(OLDEST);
        let year = (!draws.chance(UNDATED)).then_some(year);
        let genres = draw_genres(&mut draws);
        let runtime_min = draw_runtime(&mut draws, genres);
        let adult = draws.chance(ADULT);
        let (title, id) = draw_title(&titles, number, year, &taken);
        taken.insert(id.clone(), ());
        let own = taste::movie(&mut latent.at(u64::from(number)), &space, genres, age);
        let details = Details::draw(&mut records.at(u64::from(number)), number, own.quality);
        movies.push(Movie {
            id,
            title,
            year,
            genres,
            runtime_min,
            adult,
            details,
        });
        traits.push(own);
    }
    taste::standardise(&mut traits);
    (movies, traits)
}

/// Draws a title whose id is not taken; after some tries a number makes it one of a kind.
fn draw_title(
    titles: &Branch,
    number: u32,
    year: Option<u16>,
    taken: &HashMap<String, ()>,
) -> (String, String) {
    let mut draws = titles.at(u64::from(number));
    let mut title = titles::draw(&mut draws);
    for _ in 0..TITLE_TRIES {
        let id = slug(&title, year);
        if !taken.contains_key(&id) {
            return (title, id);
        }
        title = titles::draw(&mut draws);
    }
    let title = format!("{title} No. {}", number + 1);
    let id = slug(&title, year);
    (title, id)
}

/// Draws a movie's age in years: most are recent, a tail reaches back a century.
fn draw_age(draws: &mut Draws) -> f64 {
    if draws.chance(0.6) {
        2.5 * draws.exponential()
    } else {
        // Gamma of shape 2 is the sum of two exponentials.
        4.0 + 13.0 * (draws.exponential() + draws.exponential())
    }
}

/// The shares of movies with one, two, three, four and five genres.
const GENRE_COUNTS: [f64; 5] = [0.495, 0.338, 0.128, 0.030, 0.009];

fn draw_genres(draws: &mut Draws) -> GenreSet {
    let shares: Vec<f64> = Genre::all().map(Genre::share).collect();
    let all: Vec<Genre> = Genre::all().collect();
    let first = all[draws.weighted(&shares)];
    let mut genres = GenreSet::default();
    genres.insert(first);
    for _ in 0..draws.weighted(&GENRE_COUNTS) {
        let weights: Vec<f64> = all
            .iter()
            .map(|genre| {
                if genres.holds(*genre) {
                    0.0
                } else {
                    genre.share() * libm::exp(first.lift(*genre))
                }
            })
            .collect();
        genres.insert(all[draws.weighted(&weights)]);
    }
    genres
}

fn draw_runtime(draws: &mut Draws, genres: GenreSet) -> u16 {
    let usual = genres.iter().map(Genre::runtime_min).sum::<f64>() / genres.len().max(1) as f64;
    (usual * libm::exp(0.17 * draws.normal()))
        .round()
        .clamp(60.0, 240.0) as u16
}

#[cfg(test)]
mod tests;
