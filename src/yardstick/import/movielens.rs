//! The published forms of MovieLens: 100K (tabs and bars), 1M (double colons), 20M and 25M (CSV).

use std::collections::HashMap;
use std::path::Path;

use super::builder::{Builder, title_and_year};
use super::lines::{BadImport, each_line, either, latin1, utf8};

/// The genres whose flags end a line of `u.item`, after the flag `unknown`.
const GENRES_100K: [&str; 18] = [
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// Reads `u.data` and, where they stand beside it, `u.user` and `u.item`.
pub(super) fn read_100k(data: &Path) -> Result<Builder, BadImport> {
    let dir = data.parent().unwrap_or(Path::new("."));
    let mut builder = Builder::default();
    let mut titles = HashMap::new();
    let users = dir.join("u.user");
    if users.is_file() {
        each_line(&users, &mut |_, line| user_100k(&mut builder, utf8(line)?))?;
    }
    let items = dir.join("u.item");
    if items.is_file() {
        for genre in GENRES_100K {
            builder
                .genre(genre)
                .map_err(|what| BadImport::of(&items, 0, what))?;
        }
        each_line(&items, &mut |_, line| {
            item_100k(&mut builder, &mut titles, &latin1(line))
        })?;
    }
    each_line(data, &mut |_, line| {
        rating(&mut builder, &utf8(line)?.split('\t').collect::<Vec<_>>())
    })?;
    builder.name_movies(&titles);
    Ok(builder)
}

/// Reads `ratings.dat` and, where they stand beside it, `users.dat` and `movies.dat`.
pub(super) fn read_1m(ratings: &Path) -> Result<Builder, BadImport> {
    let dir = ratings.parent().unwrap_or(Path::new("."));
    let mut builder = Builder::default();
    let mut titles = HashMap::new();
    let users = dir.join("users.dat");
    if users.is_file() {
        each_line(&users, &mut |_, line| user_1m(&mut builder, utf8(line)?))?;
    }
    let movies = dir.join("movies.dat");
    if movies.is_file() {
        each_line(&movies, &mut |_, line| {
            let line = either(line);
            let fields: Vec<&str> = line.split("::").collect();
            let [id, title, genres] = fields[..] else {
                return Err(wanted("movie::title::genres", &line));
            };
            movie(&mut builder, &mut titles, [id, title, genres])
        })?;
    }
    each_line(ratings, &mut |_, line| {
        rating(&mut builder, &utf8(line)?.split("::").collect::<Vec<_>>())
    })?;
    builder.name_movies(&titles);
    Ok(builder)
}

/// Reads `ratings.csv` and, where it stands beside it, `movies.csv`.
pub(super) fn read_20m(ratings: &Path) -> Result<Builder, BadImport> {
    let mut builder = Builder::default();
    let mut titles = HashMap::new();
    let movies = ratings.parent().unwrap_or(Path::new(".")).join("movies.csv");
    if movies.is_file() {
        each_line(&movies, &mut |number, line| {
            let line = either(line);
            let line = line.trim_start_matches('\u{feff}');
            if number == 1 {
                return header(line, "movieId,title,genres");
            }
            let fields = csv(line)?;
            let [id, title, genres] = &fields[..] else {
                return Err(wanted("movieId,title,genres", line));
            };
            movie(&mut builder, &mut titles, [id, title, genres])
        })?;
    }
    each_line(ratings, &mut |number, line| {
        let line = utf8(line)?.trim_start_matches('\u{feff}');
        if number == 1 {
            return header(line, "userId,movieId,rating,timestamp");
        }
        rating(&mut builder, &line.split(',').collect::<Vec<_>>())
    })?;
    builder.name_movies(&titles);
    Ok(builder)
}

fn wanted(what: &str, line: &str) -> String {
    let shown: String = line.chars().take(60).collect();
    format!("expected `{what}`, found `{shown}`")
}

fn header(line: &str, names: &str) -> Result<(), String> {
    if line.trim() == names {
        Ok(())
    } else {
        Err(wanted(names, line))
    }
}

fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("{what} must be a number, found `{}`", shorten(text)))
}

fn shorten(text: &str) -> String {
    text.chars().take(30).collect()
}

fn rating(builder: &mut Builder, fields: &[&str]) -> Result<(), String> {
    let [user, movie, stars, at] = fields else {
        return Err(format!(
            "expected user, movie, rating and time, found {} fields",
            fields.len()
        ));
    };
    let _user: u64 = number(user, "a user")?;
    let _movie: u64 = number(movie, "a movie")?;
    let stars: f32 = number(stars, "a rating")?;
    let at: i64 = number(at, "a time")?;
    if !(0.5..=5.0).contains(&stars) {
        return Err(format!("a rating is 0.5 to 5 stars, found `{stars}`"));
    }
    let (user, movie) = (builder.user(user.trim()), builder.movie(movie.trim()));
    let before = builder.len();
    let meeting = builder.meeting(user, movie, at)?;
    meeting.stars = Some(stars);
    if builder.len() == before {
        return Err("this user rated this movie before".to_owned());
    }
    Ok(())
}

fn user_100k(builder: &mut Builder, line: &str) -> Result<(), String> {
    let fields: Vec<&str> = line.split('|').collect();
    let [id, age, gender, occupation, _zip] = fields[..] else {
        return Err(wanted("user|age|gender|occupation|zip", line));
    };
    let age = number(age, "an age")?;
    let is_female = gender_of(gender)?;
    let row = builder.new_user(id)?;
    row.age = Some(age);
    row.is_female = is_female;
    row.occupation = Some(occupation.to_owned());
    Ok(())
}

fn user_1m(builder: &mut Builder, line: &str) -> Result<(), String> {
    let fields: Vec<&str> = line.split("::").collect();
    let [id, gender, age, occupation, _zip] = fields[..] else {
        return Err(wanted("user::gender::age::occupation::zip", line));
    };
    let age = number(age, "an age")?;
    let is_female = gender_of(gender)?;
    let row = builder.new_user(id)?;
    row.age = Some(age);
    row.is_female = is_female;
    row.occupation = Some(occupation.to_owned());
    Ok(())
}

fn gender_of(text: &str) -> Result<Option<bool>, String> {
    match text {
        "F" => Ok(Some(true)),
        "M" => Ok(Some(false)),
        "" => Ok(None),
        _ => Err(format!("a gender is `F` or `M`, found `{}`", shorten(text))),
    }
}

fn item_100k(builder: &mut Builder, titles: &mut HashMap<u32, String>, line: &str) -> Result<(), String> {
    let fields: Vec<&str> = line.split('|').collect();
    // Number, title, two dates, address, the flag of an unknown genre, and a flag for each genre.
    if fields.len() != 6 + GENRES_100K.len() {
        return Err(format!("expected 24 fields, found {}", fields.len()));
    }
    let _number: u64 = number(fields[0], "a movie")?;
    let mut genres = Vec::new();
    for (place, flag) in fields[6..].iter().enumerate() {
        match *flag {
            "1" => genres.push(place as u16),
            "0" => {}
            other => return Err(format!("a genre flag is 0 or 1, found `{}`", shorten(other))),
        }
    }
    let (title, year) = title_and_year(fields[1]);
    let released = fields[2].rsplit('-').next().and_then(|year| year.parse().ok());
    let row = builder.new_movie(fields[0])?;
    row.year = year.or(released);
    row.genres = genres;
    let place = builder.movie(fields[0]);
    titles.insert(place, title.to_owned());
    Ok(())
}

fn movie(
    builder: &mut Builder,
    titles: &mut HashMap<u32, String>,
    [id, title, names]: [&str; 3],
) -> Result<(), String> {
    let _number: u64 = number(id, "a movie")?;
    let mut genres = names
        .split('|')
        .filter(|name| !name.is_empty() && *name != "(no genres listed)")
        .map(|name| builder.genre(name))
        .collect::<Result<Vec<_>, _>>()?;
    genres.sort_unstable();
    genres.dedup();
    let (title, year) = title_and_year(title);
    let row = builder.new_movie(id)?;
    row.year = year;
    row.genres = genres;
    let place = builder.movie(id);
    titles.insert(place, title.to_owned());
    Ok(())
}

/// Splits a line of CSV, with quotes where a field holds commas, doubled where it holds quotes.
fn csv(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().ok_or("a line without fields")?;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    if quoted {
        return Err("a quote that is not closed".to_owned());
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_of_csv_may_hold_commas_and_quotes() {
        assert_eq!(
            csv(r#"1,"Heat, ""The"" (1995)",Crime"#),
            Ok(vec!["1".into(), r#"Heat, "The" (1995)"#.into(), "Crime".into()])
        );
        assert!(csv("1,\"x").is_err());
    }

    proptest! {
        #[test]
        fn fields_that_were_quoted_read_back(fields in prop::collection::vec("[a-z,\" é]{0,12}", 1..5)) {
            let line: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            prop_assert_eq!(csv(&line.join(",")), Ok(fields));
        }
    }
}
