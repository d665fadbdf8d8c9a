//! The server's memory: what was asked and answered, what the company did, and where every team's viewers stand.
//!
//! Everything about requests is a projection of the teams' streams with a cursor: below it, every line is counted, once. A
//! store that lags behind after a crash is brought up to date from the stream; one that is lost can be made again.

mod back;
mod pack;

use std::fmt;
use std::slice;

pub use pack::Movies;

use crate::event::{Record, SimTime};
use back::{Back, Value, blob, int, text};

/// What the store could not do.
#[derive(Debug)]
pub struct StoreError(String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }

    /// One that a test says.
    #[cfg(test)]
    pub(crate) fn from_words(words: &str) -> Self {
        Self::new(words)
    }
}

/// The note that says before which moment requests were forgotten, in microseconds of the log.
const FORGOTTEN: &str = "forgotten_before_us";
/// The people that one query asks for.
const MOST_AT_ONCE: usize = 500;

/// The steps that lead to the schema, in order. A step that has been released is never changed; what is new goes behind it.
///
/// `BLOB` becomes `BYTEA` for PostgreSQL; all else is understood by both.
const MIGRATIONS: [&str; 2] = ["
CREATE TABLE team (number BIGINT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE asked (
    team BIGINT NOT NULL, minute BIGINT NOT NULL, first_seq BIGINT NOT NULL,
    n BIGINT NOT NULL, ok BIGINT NOT NULL, sum_ms BIGINT NOT NULL, worst_ms BIGINT NOT NULL,
    records BLOB NOT NULL, PRIMARY KEY (team, minute, first_seq));
CREATE TABLE counted (team BIGINT PRIMARY KEY, seq BIGINT NOT NULL);
CREATE TABLE sighting (team BIGINT NOT NULL, at_us BIGINT NOT NULL, model TEXT NOT NULL, PRIMARY KEY (team, at_us));
CREATE TABLE outage (from_us BIGINT PRIMARY KEY, until_us BIGINT NOT NULL, why TEXT NOT NULL);
CREATE TABLE incident (name TEXT NOT NULL, from_us BIGINT NOT NULL, until_us BIGINT NOT NULL, what TEXT NOT NULL,
    PRIMARY KEY (name, from_us));
CREATE TABLE checkpoint (
    team BIGINT PRIMARY KEY, second BIGINT NOT NULL, seq BIGINT NOT NULL, noted BIGINT NOT NULL,
    setup TEXT NOT NULL, agenda BLOB NOT NULL);
CREATE TABLE person (team BIGINT NOT NULL, member BIGINT NOT NULL, state BLOB NOT NULL, PRIMARY KEY (team, member));
CREATE TABLE note (name TEXT PRIMARY KEY, told TEXT NOT NULL);
", "
ALTER TABLE incident ADD COLUMN truth TEXT NOT NULL DEFAULT '{}';
"];

/// What is saved of one team at once, or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Save {
    /// The team's number.
    pub team: u32,
    /// The requests since the last save, in the order of the stream: sequence number and line.
    pub requests: Vec<(u64, Record)>,
    /// The number below which every line of the stream is counted from now on.
    pub counted: u64,
    /// The models that the service was seen to have.
    pub sightings: Vec<(SimTime, String)>,
    /// Where the team's viewers stand, where that is saved as well.
    pub checkpoint: Option<Checkpoint>,
}

/// Where a team's viewers stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// The next second to be played.
    pub second: i64,
    /// The sequence number of the next line.
    pub seq: u64,
    /// How many entries the agenda ever had.
    pub noted: u64,
    /// What the viewers were played with, as JSON.
    pub setup: String,
    /// The agenda, packed.
    pub agenda: Vec<u8>,
    /// The people who changed since the checkpoint before, packed each.
    pub people: Vec<(u32, Vec<u8>)>,
    /// Whether all people of earlier checkpoints are to be forgotten.
    pub anew: bool,
}

/// A span in which the company itself was down, or a planned event that it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spell {
    /// The first moment.
    pub from: SimTime,
    /// The first moment after it.
    pub until: SimTime,
    /// What it was.
    pub what: String,
}

/// An incident of the calendar that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// Its milestone and name, as `m4/withdrawn`.
    pub name: String,
    /// When, and what it was.
    pub spell: Spell,
    /// What is true of it, as a JSON object; `{}` where an earlier version has noted it.
    pub truth: String,
}

/// The store: SQLite in a file, or PostgreSQL.
pub struct Store {
    back: Back,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens `postgres://user@host/database`, or the SQLite file of any other name, and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be reached, or was made by a later version of this program.
    pub fn open(place: &str) -> Result<Self, StoreError> {
        let mut store = Self {
            back: Back::open(place)?,
        };
        store.migrate()?;
        Ok(store)
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        self.back.transaction(|back| {
            back.batch("CREATE TABLE IF NOT EXISTS migration (step BIGINT PRIMARY KEY)")?;
            let done = back.query("SELECT COUNT(*) FROM migration", &[])?;
            let done = done.first().map_or(0, |row| int(row, 0)) as usize;
            if done > MIGRATIONS.len() {
                return Err(StoreError(format!(
                    "the store has {done} migrations, this version of reelworld knows {}: use a later one",
                    MIGRATIONS.len()
                )));
            }
            for (step, migration) in MIGRATIONS.iter().enumerate().skip(done) {
                back.batch(migration)?;
                back.run("INSERT INTO migration VALUES ($1)", &[Value::Int(step as i64)])?;
            }
            Ok(())
        })
    }

    /// Makes the teams known by number and name.
    ///
    /// # Errors
    /// When the store fails.
    pub fn set_teams(&mut self, teams: &[(u32, String)]) -> Result<(), StoreError> {
        self.back.transaction(|back| {
            for (number, name) in teams {
                back.run(
                    "INSERT INTO team VALUES ($1, $2) ON CONFLICT (number) DO UPDATE SET name = excluded.name",
                    &[Value::Int(i64::from(*number)), Value::Text(name.clone())],
                )?;
            }
            Ok(())
        })
    }

    /// Returns the teams by number and name.
    ///
    /// # Errors
    /// When the store fails.
    pub fn teams(&mut self) -> Result<Vec<(u32, String)>, StoreError> {
        let rows = self
            .back
            .query("SELECT number, name FROM team ORDER BY number", &[])?;
        Ok(rows
            .iter()
            .map(|row| (int(row, 0) as u32, text(row, 1).to_owned()))
            .collect())
    }

    /// Saves what is new of a team, all or nothing. Requests below the cursor are counted already and passed over.
    ///
    /// # Errors
    /// When the store fails; nothing of it is saved then, and it may be saved again.
    pub fn save(&mut self, save: &Save, movies: &dyn Movies, deadline_ms: u64) -> Result<(), StoreError> {
        let team = Value::Int(i64::from(save.team));
        self.back.transaction(|back| {
            let counted = back.query("SELECT seq FROM counted WHERE team = $1", slice::from_ref(&team))?;
            let counted = counted.first().map_or(0, |row| int(row, 0) as u64);
            let mut minutes: Vec<(i64, u64, Vec<&Record>)> = Vec::new();
            for (seq, record) in save.requests.iter().filter(|(seq, _)| *seq >= counted) {
                let minute = record.time.seconds().div_euclid(60);
                match minutes.last_mut().filter(|last| last.0 == minute) {
                    Some((_, _, records)) => records.push(record),
                    None => minutes.push((minute, *seq, vec![record])),
                }
            }
            for (minute, first_seq, records) in minutes {
                let figures = pack::figures(&records, movies, deadline_ms);
                back.run(
                    "INSERT INTO asked VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    &[
                        team.clone(),
                        Value::Int(minute),
                        Value::Int(first_seq as i64),
                        Value::Int(records.len() as i64),
                        Value::Int(figures.ok),
                        Value::Int(figures.sum_ms),
                        Value::Int(figures.worst_ms),
                        Value::Blob(pack::pack(&records, movies)?),
                    ],
                )?;
            }
            back.run(
                "INSERT INTO counted VALUES ($1, $2) ON CONFLICT (team) DO UPDATE SET seq = excluded.seq",
                &[team.clone(), Value::Int(save.counted.max(counted) as i64)],
            )?;
            for (at, model) in &save.sightings {
                back.run(
                    "INSERT INTO sighting VALUES ($1, $2, $3) ON CONFLICT (team, at_us) DO NOTHING",
                    &[team.clone(), Value::Int(at.0), Value::Text(model.clone())],
                )?;
            }
            if let Some(checkpoint) = &save.checkpoint {
                put_checkpoint(back, &team, checkpoint)?;
            }
            Ok(())
        })
    }

    /// Returns the number below which every line of a team's stream is counted.
    ///
    /// # Errors
    /// When the store fails.
    pub fn counted(&mut self, team: u32) -> Result<u64, StoreError> {
        let rows = self.back.query(
            "SELECT seq FROM counted WHERE team = $1",
            &[Value::Int(i64::from(team))],
        )?;
        Ok(rows.first().map_or(0, |row| int(row, 0) as u64))
    }

    /// Returns the requests to a team from a moment to before another, in the order of its stream.
    ///
    /// # Errors
    /// When the store fails or holds what it cannot have written.
    pub fn requests(
        &mut self,
        team: u32,
        (from, until): (SimTime, SimTime),
        movies: &dyn Movies,
    ) -> Result<Vec<Record>, StoreError> {
        let rows = self.back.query(
            "SELECT records FROM asked WHERE team = $1 AND minute >= $2 AND minute <= $3 ORDER BY first_seq",
            &[
                Value::Int(i64::from(team)),
                Value::Int(from.seconds().div_euclid(60)),
                Value::Int(until.seconds().div_euclid(60)),
            ],
        )?;
        let mut records = Vec::new();
        for row in &rows {
            records.extend(pack::unpack(blob(row, 0), movies)?);
        }
        records.retain(|record| from <= record.time && record.time < until);
        Ok(records)
    }

    /// Returns what each minute of a span had: minute since 1970, requests, successes, the sum and the worst of the
    /// response times in milliseconds.
    ///
    /// # Errors
    /// When the store fails.
    pub fn minutes(
        &mut self,
        team: u32,
        (from, until): (SimTime, SimTime),
    ) -> Result<Vec<[i64; 5]>, StoreError> {
        let rows = self.back.query(
            "SELECT minute, CAST(SUM(n) AS BIGINT), CAST(SUM(ok) AS BIGINT), CAST(SUM(sum_ms) AS BIGINT), MAX(worst_ms)
             FROM asked WHERE team = $1 AND minute >= $2 AND minute < $3 GROUP BY minute ORDER BY minute",
            &[
                Value::Int(i64::from(team)),
                Value::Int(from.seconds().div_euclid(60)),
                Value::Int(until.seconds().div_euclid(60)),
            ],
        )?;
        Ok(rows
            .iter()
            .map(|row| [0, 1, 2, 3, 4].map(|place| int(row, place)))
            .collect())
    }

    /// Returns the last minute since 1970 in which any team was asked, as far as that is saved.
    ///
    /// # Errors
    /// When the store fails.
    pub fn last_minute(&mut self) -> Result<Option<i64>, StoreError> {
        let rows = self.back.query("SELECT MAX(minute), COUNT(*) FROM asked", &[])?;
        Ok(rows.first().filter(|row| int(row, 1) > 0).map(|row| int(row, 0)))
    }

    /// Returns the models that a team's service was seen to have, in order of time.
    ///
    /// # Errors
    /// When the store fails.
    pub fn sightings(&mut self, team: u32) -> Result<Vec<(SimTime, String)>, StoreError> {
        let rows = self.back.query(
            "SELECT at_us, model FROM sighting WHERE team = $1 ORDER BY at_us",
            &[Value::Int(i64::from(team))],
        )?;
        Ok(rows
            .iter()
            .map(|row| (SimTime(int(row, 0)), text(row, 1).to_owned()))
            .collect())
    }

    /// Notes a span in which the company itself was down.
    ///
    /// # Errors
    /// When the store fails.
    pub fn add_outage(&mut self, spell: &Spell) -> Result<(), StoreError> {
        self.back.run(
            "INSERT INTO outage VALUES ($1, $2, $3) ON CONFLICT (from_us) DO UPDATE SET until_us = excluded.until_us",
            &[
                Value::Int(spell.from.0),
                Value::Int(spell.until.0),
                Value::Text(spell.what.clone()),
            ],
        )
    }

    /// Returns the spans in which the company itself was down, in order of time.
    ///
    /// # Errors
    /// When the store fails.
    pub fn outages(&mut self) -> Result<Vec<Spell>, StoreError> {
        self.spells("SELECT from_us, until_us, why FROM outage ORDER BY from_us")
    }

    /// Notes that an incident of the calendar is run; what is noted again takes the place of what was.
    ///
    /// # Errors
    /// When the store fails.
    pub fn add_incident(&mut self, played: &Played) -> Result<(), StoreError> {
        self.back.run(
            "INSERT INTO incident (name, from_us, until_us, what, truth) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name, from_us) DO UPDATE SET until_us = excluded.until_us, what = excluded.what, truth = excluded.truth",
            &[
                Value::Text(played.name.clone()),
                Value::Int(played.spell.from.0),
                Value::Int(played.spell.until.0),
                Value::Text(played.spell.what.clone()),
                Value::Text(played.truth.clone()),
            ],
        )
    }

    /// Returns the incidents that were run, in order of time.
    ///
    /// # Errors
    /// When the store fails.
    pub fn incidents(&mut self) -> Result<Vec<Played>, StoreError> {
        let rows = self.back.query(
            "SELECT name, from_us, until_us, what, truth FROM incident ORDER BY from_us, name",
            &[],
        )?;
        Ok(rows
            .iter()
            .map(|row| Played {
                name: text(row, 0).to_owned(),
                spell: Spell {
                    from: SimTime(int(row, 1)),
                    until: SimTime(int(row, 2)),
                    what: text(row, 3).to_owned(),
                },
                truth: text(row, 4).to_owned(),
            })
            .collect())
    }

    fn spells(&mut self, query: &str) -> Result<Vec<Spell>, StoreError> {
        let rows = self.back.query(query, &[])?;
        Ok(rows
            .iter()
            .map(|row| Spell {
                from: SimTime(int(row, 0)),
                until: SimTime(int(row, 1)),
                what: text(row, 2).to_owned(),
            })
            .collect())
    }

    /// Returns where a team's viewers stand, without the people ([`Store::people`]); none before the first checkpoint.
    ///
    /// # Errors
    /// When the store fails.
    pub fn checkpoint(&mut self, team: u32) -> Result<Option<Checkpoint>, StoreError> {
        let team = Value::Int(i64::from(team));
        let rows = self.back.query(
            "SELECT second, seq, noted, setup, agenda FROM checkpoint WHERE team = $1",
            slice::from_ref(&team),
        )?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(Checkpoint {
            second: int(row, 0),
            seq: int(row, 1) as u64,
            noted: int(row, 2) as u64,
            setup: text(row, 3).to_owned(),
            agenda: blob(row, 4).to_vec(),
            people: Vec::new(),
            anew: false,
        }))
    }

    /// Returns those of some people of a team whom a checkpoint had, packed as it had them, in the order of their numbers.
    ///
    /// # Errors
    /// When the store fails.
    pub fn people(&mut self, team: u32, users: &[u32]) -> Result<Vec<(u32, Vec<u8>)>, StoreError> {
        let team = Value::Int(i64::from(team));
        let mut all = Vec::new();
        for some in users.chunks(MOST_AT_ONCE) {
            let numbers: Vec<String> = some.iter().map(ToString::to_string).collect();
            let query = format!(
                "SELECT member, state FROM person WHERE team = $1 AND member IN ({})",
                numbers.join(",")
            );
            let rows = self.back.query(&query, slice::from_ref(&team))?;
            all.extend(rows.iter().map(|row| (int(row, 0) as u32, blob(row, 1).to_vec())));
        }
        all.sort_unstable_by_key(|(user, _)| *user);
        Ok(all)
    }

    /// Keeps a text under a name.
    ///
    /// # Errors
    /// When the store fails.
    pub fn set_note(&mut self, name: &str, told: &str) -> Result<(), StoreError> {
        self.back.run(
            "INSERT INTO note VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET told = excluded.told",
            &[Value::Text(name.to_owned()), Value::Text(told.to_owned())],
        )
    }

    /// Returns the text that is kept under a name.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let rows = self.back.query(
            "SELECT told FROM note WHERE name = $1",
            &[Value::Text(name.to_owned())],
        )?;
        Ok(rows.first().map(|row| text(row, 0).to_owned()))
    }

    /// Forgets the requests of minutes before a moment; their sums go as well.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_before(&mut self, moment: SimTime) -> Result<(), StoreError> {
        // Said first: a store that still has what it says it has forgotten misleads nobody.
        if self.forgotten_before()?.is_none_or(|before| before < moment) {
            self.set_note(FORGOTTEN, &moment.0.to_string())?;
        }
        self.back.run(
            "DELETE FROM asked WHERE minute < $1",
            &[Value::Int(moment.seconds().div_euclid(60))],
        )
    }

    /// Returns the moment before which requests were forgotten, if any were.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forgotten_before(&mut self) -> Result<Option<SimTime>, StoreError> {
        let told = self.note(FORGOTTEN)?;
        Ok(told.and_then(|told| told.parse().ok()).map(SimTime))
    }
}

fn put_checkpoint(back: &mut Back, team: &Value, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    if checkpoint.anew {
        back.run("DELETE FROM person WHERE team = $1", slice::from_ref(team))?;
    }
    back.run(
        "INSERT INTO checkpoint VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (team) DO UPDATE SET
         second = excluded.second, seq = excluded.seq, noted = excluded.noted, setup = excluded.setup, agenda = excluded.agenda",
        &[
            team.clone(),
            Value::Int(checkpoint.second),
            Value::Int(checkpoint.seq as i64),
            Value::Int(checkpoint.noted as i64),
            Value::Text(checkpoint.setup.clone()),
            Value::Blob(checkpoint.agenda.clone()),
        ],
    )?;
    for (member, state) in &checkpoint.people {
        back.run(
            "INSERT INTO person VALUES ($1, $2, $3) ON CONFLICT (team, member) DO UPDATE SET state = excluded.state",
            &[
                team.clone(),
                Value::Int(i64::from(*member)),
                Value::Blob(state.clone()),
            ],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
