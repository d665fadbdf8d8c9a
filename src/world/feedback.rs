//! How strongly the lists of a recommendation service act back on the viewers to whom they are shown.

/// The size of one way of acting back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strength {
    /// Not at all.
    #[default]
    Off,
    /// To be found by those who look.
    Mild,
    /// Not to be overlooked.
    Strong,
}

impl Strength {
    /// Every strength, by the word that course files use.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("mild", Self::Mild), ("strong", Self::Strong)];

    /// Returns the word of course files.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize].0
    }

    fn size(self, mild: f64, strong: f64) -> f64 {
        match self {
            Self::Off => 0.0,
            Self::Mild => mild,
            Self::Strong => strong,
        }
    }
}

/// The ways in which lists act back. `docs/design/world.md` gives the formula and the source of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feedback {
    /// Viewers follow the list instead of finding something by themselves: what they watch becomes alike.
    pub homogenisation: Strength,
    /// What is watched becomes known, and what is known is found and watched: early success is locked in.
    pub lock_in: Strength,
    /// Taste moves towards the genres of what is shown.
    pub echo_chamber: Strength,
    /// Viewers whom the list has nothing to offer leave for good.
    pub leaving: Strength,
}

impl Feedback {
    /// Returns feedback of one strength in every way.
    pub fn all(strength: Strength) -> Self {
        Self {
            homogenisation: strength,
            lock_in: strength,
            echo_chamber: strength,
            leaving: strength,
        }
    }

    /// Returns the ways with their names in course files.
    pub fn named(&self) -> [(&'static str, Strength); 4] {
        [
            ("homogenisation", self.homogenisation),
            ("lock_in", self.lock_in),
            ("echo_chamber", self.echo_chamber),
            ("leaving", self.leaving),
        ]
    }

    /// Returns the share of sessions in which the viewer looks at the list before anything else.
    ///
    /// The watches that come from lists are given as .5 to .8 of all where recommendation is the front page
    /// (Gomez-Uribe and Hunt 2015 say .8 of Netflix).
    pub fn follow_share(&self) -> f64 {
        self.homogenisation.size(0.3, 0.6)
    }

    /// Returns what a movie gains in awareness, in logits, for each unit of the logarithm of its success over its usual one.
    pub fn fame(&self) -> f64 {
        self.lock_in.size(0.3, 0.7)
    }

    /// Returns how much of the way to the genres of the list that is looked at taste goes each time.
    pub fn pull_of_lists(&self) -> f64 {
        self.echo_chamber.size(0.02, 0.06)
    }

    /// Returns the probability that a viewer who found nothing in a list leaves for good.
    pub fn leave_chance(&self) -> f64 {
        self.leaving.size(0.01, 0.04)
    }
}
