//! Every random draw: one secret key, named branches below it, and counters instead of call order.
//!
//! A branch is the HMAC-SHA-256 of its name under its parent, so that no branch tells anything of another or of the
//! key. A branch at an index is a ChaCha8 stream of its own: user 731,204 is the same on any machine, in any order, on
//! any number of threads. Transcendental functions come from `libm`, whose results do not depend on the platform.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use hmac::{Hmac, KeyInit, Mac};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sha2::Sha256;

/// The secret from which a world follows. Never printed, never given to students.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// A key file that does not hold 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a world key is 64 hexadecimal digits on one line")
    }
}

impl std::error::Error for BadKey {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.fingerprint())
    }
}

impl Key {
    /// Reads a key from 64 hexadecimal digits, blanks around them allowed.
    ///
    /// # Errors
    /// [`BadKey`] when the text is anything else.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let text = text.trim().as_bytes();
        if text.len() != 64 {
            return Err(BadKey);
        }
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16).ok_or(BadKey)?;
            let low = char::from(pair[1]).to_digit(16).ok_or(BadKey)?;
            *byte = u8::try_from(high * 16 + low).map_err(|_| BadKey)?;
        }
        Ok(Self(key))
    }

    /// Draws a new key from the operating system.
    ///
    /// # Errors
    /// When the system's random source cannot be read.
    pub fn generate() -> io::Result<Self> {
        let mut key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Self(key))
    }

    /// Returns the key that a plain number stands for: for practice worlds and tests, where nothing is secret.
    pub fn from_seed(seed: u64) -> Self {
        Self(mac(b"reelworld practice", &seed.to_le_bytes()))
    }

    /// Returns the key as 64 hexadecimal digits, for the key file alone.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Returns eight digits that name the key without giving it away.
    pub fn fingerprint(&self) -> String {
        hex(&mac(&self.0, b"fingerprint")[..4])
    }

    /// Returns the branch of this name.
    pub fn branch(&self, name: &str) -> Branch {
        Branch(mac(&self.0, name.as_bytes()))
    }
}

/// A named place below a key, from which draws are taken by index.
#[derive(Clone)]
pub struct Branch([u8; 32]);

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Branch(..)")
    }
}

impl Branch {
    /// Returns the branch of this name below this one.
    #[must_use]
    pub fn branch(&self, name: &str) -> Self {
        Self(mac(&self.0, name.as_bytes()))
    }

    /// Returns the branch of this number below this one, as a run has for its seed.
    #[must_use]
    pub fn numbered(&self, number: u64) -> Self {
        Self(mac(&self.0, &number.to_le_bytes()))
    }

    /// Returns the draws at an index: the same for the same branch and index, whatever was drawn before.
    pub fn at(&self, index: u64) -> Draws {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(index);
        Draws(rng)
    }
}

/// A stream of draws.
#[derive(Debug, Clone)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// Draws 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws uniformly from the half-open interval [0, 1), in steps of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Draws uniformly from the open interval (0, 1), where a logarithm is finite.
    pub fn open_unit(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) * (1.0 / 4_503_599_627_370_496.0)
    }

    /// Draws a whole number below `n`, without bias (Lemire 2019, with the multiply-and-reject of 64 bits).
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            if wide as u64 >= threshold {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Draws true with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Draws from the standard normal distribution (Box and Muller 1958, the cosine half).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(self.open_unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Draws from the exponential distribution of mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(self.open_unit())
    }

    /// Draws from the standard Gumbel distribution, so that an argmax over utilities is a multinomial logit.
    pub fn gumbel(&mut self) -> f64 {
        -libm::log(self.exponential())
    }

    /// Draws an index in proportion to weights that are not negative; the last one when all are 0.
    ///
    /// # Panics
    /// When there are no weights.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let total: f64 = weights.iter().sum();
        let mut left = self.unit() * total;
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights
            .len()
            .checked_sub(1)
            .expect("a choice needs at least one weight")
    }

    /// Puts a slice in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_gives_the_same_draws_whatever_was_drawn_before() {
        let branch = Key::from_seed(7).branch("users");
        let direct = branch.at(731_204).bits();
        let mut order: Vec<u64> = (731_200..731_210)
            .rev()
            .map(|index| branch.at(index).bits())
            .collect();
        order.reverse();
        assert_eq!(order[4], direct);
        assert_ne!(order[3], order[4]);
    }

    #[test]
    fn draws_are_pinned_so_that_a_world_stays_the_same_for_ever() {
        let mut draws = Key::from_seed(7).branch("pinned").at(1);
        let drawn = format!(
            "{:016x} {:.17} {:.17}",
            draws.bits(),
            draws.normal(),
            draws.gumbel()
        );
        assert_eq!(drawn, "826915c8aaad2d52 0.37487993772418127 2.39429926291829620");
    }

    #[test]
    fn a_key_reads_back_from_its_file_and_never_shows_in_debug_output() {
        let key = Key::generate().unwrap();
        assert_eq!(Key::parse(&format!(" {}\n", key.to_hex())), Ok(key.clone()));
        assert!(!format!("{key:?}").contains(&key.to_hex()[..16]));
        assert_eq!(Key::parse("12"), Err(BadKey));
        assert_eq!(Key::parse(&"g".repeat(64)), Err(BadKey));
    }

    #[test]
    fn the_distributions_have_their_moments() {
        let mut draws = Key::from_seed(1).branch("moments").at(0);
        let n = 200_000;
        let mean = |f: &mut dyn FnMut() -> f64| (0..n).map(|_| f()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || draws.unit()) - 0.5).abs() < 0.005);
        assert!((mean(&mut || draws.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!((mean(&mut || draws.exponential()) - 1.0).abs() < 0.01);
        assert!((mean(&mut || draws.gumbel()) - 0.577_2).abs() < 0.02);
        assert!((mean(&mut || draws.below(10) as f64) - 4.5).abs() < 0.03);
        assert!((mean(&mut || draws.weighted(&[1.0, 0.0, 3.0]) as f64) - 1.5).abs() < 0.01);
    }
}
