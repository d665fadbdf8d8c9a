//! Invented titles, and the rule that makes an id of a title and a year.

use crate::seed::Draws;

const NOUNS: &[&str] = &[
    "Harbor",
    "Lantern",
    "Orchard",
    "Compass",
    "Glacier",
    "Meridian",
    "Sparrow",
    "Foundry",
    "Tide",
    "Almanac",
    "Ember",
    "Cathedral",
    "Horizon",
    "Quarry",
    "Violin",
    "Ledger",
    "Monsoon",
    "Paper Boat",
    "Threshold",
    "Carousel",
    "Signal",
    "Archive",
    "Midnight",
    "Chapel",
    "Railway",
    "Silhouette",
    "Cartographer",
    "Gardener",
    "Watchmaker",
    "Locksmith",
    "Beekeeper",
    "Swimmer",
    "Stranger",
    "Falconer",
    "Understudy",
    "Night Porter",
    "Ferryman",
    "Apprentice",
    "Widow",
    "Surveyor",
    "Envelope",
    "Balcony",
    "Aqueduct",
    "Labyrinth",
    "Observatory",
    "Snowfall",
    "Reservoir",
    "Pilgrim",
    "Telegram",
    "Satellite",
    "Volcano",
    "Machine",
    "Robot",
    "Kingdom",
    "Empire",
    "Planet",
    "Colony",
    "Frontier",
    "Canyon",
    "Desert",
    "Island",
    "Lagoon",
    "Summit",
    "Avalanche",
    "Hurricane",
    "Verdict",
    "Alibi",
    "Conspiracy",
    "Witness",
    "Heist",
    "Hostage",
    "Assassin",
    "Detective",
    "Sheriff",
    "Outlaw",
    "Gunslinger",
    "Soldier",
    "Battalion",
    "Submarine",
    "Squadron",
    "Wedding",
    "Honeymoon",
    "Bridesmaid",
    "Summer",
    "Holiday",
    "Neighbor",
    "Roommate",
    "Birthday",
    "Puppy",
    "Penguin",
    "Dragon",
    "Wizard",
    "Unicorn",
    "Phantom",
    "Curse",
    "Ritual",
    "Basement",
    "Asylum",
    "Mirror",
    "Doll",
    "Séance",
    "Whisper",
    "Symphony",
    "Ballad",
    "Rhapsody",
    "Tango",
    "Chronicle",
    "Dynasty",
    "Élégie",
];

const ADJECTIVES: &[&str] = &[
    "Silent",
    "Crimson",
    "Forgotten",
    "Last",
    "Hidden",
    "Broken",
    "Electric",
    "Golden",
    "Hollow",
    "Endless",
    "Velvet",
    "Frozen",
    "Burning",
    "Distant",
    "Restless",
    "Invisible",
    "Borrowed",
    "Crooked",
    "Gentle",
    "Reluctant",
    "Paper",
    "Northern",
    "Southern",
    "Wooden",
    "Iron",
    "Glass",
    "Emerald",
    "Bitter",
    "Sweet",
    "Secret",
    "Wicked",
    "Lucky",
    "Impossible",
    "Ordinary",
    "Perfect",
    "Second",
    "Third",
    "Final",
    "Lost",
    "Lonely",
    "Wandering",
    "Sleeping",
    "Laughing",
    "Falling",
    "Rising",
    "Midsummer",
    "Winter",
    "Savage",
    "Tender",
    "Curious",
    "Quiet",
    "Deadly",
    "Blind",
];

const PLACES: &[&str] = &[
    "Marlow Bay",
    "Ostrava Lane",
    "the North Pier",
    "Calder Street",
    "Elsewhere",
    "the Salt Road",
    "Vantage Hill",
    "Kestrel Point",
    "the Seventh Floor",
    "Lower Ashby",
    "Cape Verity",
    "the Old Quarter",
    "Pinewood",
    "Orrin's Gate",
    "the Deep",
    "Harrow Moor",
    "Station Nine",
    "the Lowlands",
    "Bellweather",
    "the Far Side",
    "Tamarind Creek",
    "Dusk",
    "Winterhold",
    "the Glass City",
    "Saint Corvin",
    "the Long Coast",
    "Mirefield",
    "Junction City",
    "the Outer Rim",
];

const NAMES: &[&str] = &[
    "Adela",
    "Bertram",
    "Callista",
    "Dunstan",
    "Elodie",
    "Fenwick",
    "Greta",
    "Hollis",
    "Imogen",
    "Jasper",
    "Katya",
    "Leopold",
    "Mirabel",
    "Nestor",
    "Odile",
    "Percival",
    "Quill",
    "Rosalind",
    "Septimus",
    "Thea",
    "Ulric",
    "Vesper",
    "Wilhelmina",
    "Xanthe",
    "Yorick",
    "Zelda",
    "Anselm",
    "Beatrix",
    "Corwin",
    "Desdemona",
    "Ezra",
    "Freya",
    "Gideon",
];

const VERBS: &[&str] = &[
    "Remember", "Forget", "Follow", "Steal", "Bury", "Chase", "Forgive", "Outrun", "Paint", "Rescue",
    "Marry", "Haunt", "Betray", "Catch", "Leave", "Find", "Burn", "Wake", "Question", "Save", "Trust",
    "Fear", "Hunt", "Kiss", "Blame",
];

const STARRED: &[&str] = &[
    "S*I*R*E*N",
    "R*A*F*T",
    "G*L*O*W",
    "B*A*S*E",
    "T*U*S*K",
    "C*O*R*P*S",
];

fn pick<'a>(words: &[&'a str], draws: &mut Draws) -> &'a str {
    words[draws.below(words.len() as u64) as usize]
}

/// Draws a title. About one in forty has a sign that the rule for ids treats in an odd way.
pub(super) fn draw(draws: &mut Draws) -> String {
    let noun = pick(NOUNS, draws);
    let adjective = pick(ADJECTIVES, draws);
    let place = pick(PLACES, draws);
    let name = pick(NAMES, draws);
    let other = pick(NAMES, draws);
    let verb = pick(VERBS, draws);
    let another = pick(NOUNS, draws);
    let mut title = match draws.below(240) {
        0..30 => format!("The {adjective} {noun}"),
        30..50 => format!("{adjective} {noun}"),
        50..70 => format!("The {noun} of {place}"),
        70..85 => format!("{name}'s {noun}"),
        85..100 => format!("{verb} the {noun}"),
        100..115 => format!("{name} and the {adjective} {noun}"),
        115..128 => format!("The {noun} and the {another}"),
        128..140 => format!("{verb} Me in {place}"),
        140..152 => format!("A {noun} in {place}"),
        152..164 => format!("{adjective} {noun}: The {another}"),
        164..174 => format!("Return to {place}"),
        174..184 => format!("{name} of {place}"),
        184..194 => format!("How to {verb} a {noun}"),
        194..204 => format!("No {noun} for {name}"),
        204..212 => format!("{noun} {}", draws.below(98) + 2),
        212..218 => format!("{name} & {other}"),
        218..222 => format!("I, {noun}"),
        222..225 => format!("Mr. & Mrs. {name}"),
        225..228 => format!("L'{noun}"),
        228..230 => format!("{noun}!"),
        230..232 => format!("{noun} + {another}"),
        232..234 => format!("{} {place}", pick(STARRED, draws)),
        234..236 => format!("Who Will {verb} {name}?"),
        236..238 => format!("Égalité: {noun}"),
        _ => format!("{name} vs. the {noun}"),
    };
    if draws.chance(0.06) {
        title.push_str([" II", " III", ": Part Two", " Returns", " 2"][draws.below(5) as usize]);
    }
    title
}

/// Makes the id of a title and a year, by the company's rule.
///
/// Lower case; `+` is dropped; `,` becomes `_`; a space becomes `+`; whatever is not in `[a-z0-9.\-*_+]` is dropped, so
/// that accents vanish with their letters; then `+YYYY`, or a bare `+` where there is no year.
pub fn slug(title: &str, year: Option<u16>) -> String {
    let mut id = String::with_capacity(title.len() + 5);
    for letter in title.chars().flat_map(char::to_lowercase) {
        match letter {
            ',' => id.push('_'),
            ' ' => id.push('+'),
            'a'..='z' | '0'..='9' | '.' | '-' | '*' | '_' => id.push(letter),
            _ => {}
        }
    }
    id.push('+');
    if let Some(year) = year {
        id.push_str(&format!("{year:04}"));
    }
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_follow_the_rule_with_its_odd_cases() {
        let cases = [
            ("Mr. & Mrs. Smith", Some(2005), "mr.++mrs.+smith+2005"),
            ("I, Robot", Some(2004), "i_+robot+2004"),
            ("M*A*S*H", Some(1970), "m*a*s*h+1970"),
            ("À l'aventure", Some(2008), "+laventure+2008"),
            ("Shooter", Some(2007), "shooter+2007"),
            ("Get Thrashed", None, "get+thrashed+"),
            ("Face/Off = 100%", Some(1997), "faceoff++100+1997"),
            ("Romeo + Juliet", Some(1996), "romeo++juliet+1996"),
            ("Spider-Man_2", Some(2004), "spider-man_2+2004"),
        ];
        for (title, year, id) in cases {
            assert_eq!(slug(title, year), id, "{title}");
        }
    }

    proptest! {
        #[test]
        fn an_id_never_holds_a_sign_that_breaks_a_line_of_the_log(title in "\\PC{0,40}", year in 1900_u16..2030) {
            let id = slug(&title, Some(year));
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-*_+".contains(&byte)));
            let ending = format!("+{year}");
            prop_assert!(id.ends_with(&ending));
        }
    }
}
