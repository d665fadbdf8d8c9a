//! What users say of themselves: true to their taste, in imperfect words, and not always.

use super::genre::Genre;
use super::taste::Taste;
use crate::seed::Draws;

/// The share of users who say something about what they like, and about what they dislike.
const SAY_LIKES: f64 = 0.8;
const SAY_DISLIKES: f64 = 0.55;
/// The share of descriptions that mislead: people do not always know what they will watch.
const MISLEADING: f64 = 0.08;

const LIKE_OPENINGS: [&str; 6] = [
    "i mostly watch",
    "Big fan of",
    "love",
    "give me",
    "I enjoy",
    "anything with a bit of",
];
const DISLIKE_OPENINGS: [&str; 6] = [
    "can't stand",
    "please no",
    "not into",
    "I fall asleep with",
    "never again:",
    "hate",
];

/// How people call a genre; none of them is the name in the records.
fn spoken(genre: Genre) -> &'static [&'static str] {
    match genre.name() {
        "Action" => &[
            "explosions and car chases",
            "stuff that blows up",
            "action flicks",
        ],
        "Adventure" => &["big journeys", "quests and treasure hunts"],
        "Animation" => &["cartoons", "animated stuff, not only for kids"],
        "Comedy" => &["things that make me laugh", "silly funny movies", "comedies"],
        "Crime" => &["gangsters and heists", "mob stories"],
        "Documentary" => &["real stories", "docs about the world"],
        "Drama" => &[
            "serious films about people",
            "slow, sad, beautiful movies",
            "dramas",
        ],
        "Family" => &[
            "movies I can watch with my kids",
            "nice films for the whole house",
        ],
        "Fantasy" => &["dragons and magic", "made-up kingdoms"],
        "Foreign" => &["movies with subtitles", "films from elsewhere"],
        "History" => &["costumes and kings", "films about the past"],
        "Horror" => &["scary movies", "being frightened", "ghosts and slashers"],
        "Music" => &["films about bands", "singing and dancing"],
        "Mystery" => &["whodunits", "puzzles I can't solve before the end"],
        "Romance" => &["love stories", "rom coms and weepies"],
        "Science Fiction" => &["space and robots", "sci fi", "futures gone wrong"],
        "TV Movie" => &["cosy made-for-tv things", "sunday afternoon films"],
        "Thriller" => &["tension, edge-of-the-seat stuff", "suspense"],
        "War" => &["war films", "soldiers and battles"],
        "Western" => &["cowboys", "dusty towns and duels"],
        _ => &["movies"],
    }
}

/// Draws what a user says they like and dislike.
pub(super) fn describe(taste: &Taste, draws: &mut Draws) -> (Option<String>, Option<String>) {
    let mut order: Vec<Genre> = Genre::all().collect();
    order.sort_by(|a, b| taste.genre_weight(*b).total_cmp(&taste.genre_weight(*a)));
    if draws.chance(MISLEADING) {
        order.reverse();
    }
    let likes = draws
        .chance(SAY_LIKES)
        .then(|| sentence(&LIKE_OPENINGS, &order[..3], draws));
    order.reverse();
    let dislikes = draws
        .chance(SAY_DISLIKES)
        .then(|| sentence(&DISLIKE_OPENINGS, &order[..2], draws));
    (likes, dislikes)
}

fn sentence(openings: &[&str], genres: &[Genre], draws: &mut Draws) -> String {
    let opening = openings[draws.below(openings.len() as u64) as usize];
    let count = 1 + draws.below(genres.len() as u64) as usize;
    let words: Vec<&str> = genres[..count]
        .iter()
        .map(|genre| {
            let ways = spoken(*genre);
            ways[draws.below(ways.len() as u64) as usize]
        })
        .collect();
    let joined = words.join([", ", " and ", " & "][draws.below(3) as usize]);
    format!("{opening} {joined}")
}
