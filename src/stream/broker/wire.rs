//! The primitives of Kafka's protocol, read from foreign bytes without trusting a length, and written.
//!
//! Written by hand and not with a crate of all messages: those reserve room for as many elements as a frame claims to
//! have, and a frame of a hundred bytes may claim two thousand million.

/// Why a request can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The most elements of one array; the largest group of a course has a hundredth of it.
const MAX_ELEMENTS: usize = 100_000;
/// The most tagged fields of one structure; there are none that we know of.
const MAX_TAGS: u32 = 64;

/// A request's bytes that are still to be read.
#[derive(Debug)]
pub(super) struct Input<'f> {
    bytes: &'f [u8],
    /// Whether lengths are compact and structures end with tagged fields.
    pub(super) flexible: bool,
}

impl<'f> Input<'f> {
    pub(super) fn new(bytes: &'f [u8]) -> Self {
        Self {
            bytes,
            flexible: false,
        }
    }

    fn take(&mut self, length: usize) -> Result<&'f [u8], Malformed> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or(Malformed("the request ends before its last field"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.i8()? != 0)
    }

    pub(super) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).map_err(|_| Malformed("a number is too large"));
            }
        }
        Err(Malformed("a number does not end"))
    }

    /// Reads a length: of two or four bytes, or compact.
    fn length(&mut self, short: bool) -> Result<Option<usize>, Malformed> {
        let length = match (self.flexible, short) {
            (true, _) => i64::from(self.varint()?) - 1,
            (false, true) => i64::from(self.i16()?),
            (false, false) => i64::from(self.i32()?),
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| Malformed("a length is below 0")),
        }
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<&'f str>, Malformed> {
        let Some(length) = self.length(true)? else {
            return Ok(None);
        };
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))?;
        Ok(Some(text))
    }

    pub(super) fn text(&mut self) -> Result<&'f str, Malformed> {
        self.optional_text()?.ok_or(Malformed("a text is missing"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'f [u8], Malformed> {
        match self.length(false)? {
            Some(length) => self.take(length),
            None => Ok(&[]),
        }
    }

    /// Reads an array; room is made for what is there, not for what is claimed.
    pub(super) fn optional_list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<Vec<T>>, Malformed> {
        let Some(length) = self.length(false)? else {
            return Ok(None);
        };
        // No element takes less than a byte.
        if length > MAX_ELEMENTS || length > self.bytes.len() {
            return Err(Malformed("an array claims more elements than the request holds"));
        }
        let mut list = Vec::new();
        for _ in 0..length {
            list.push(element(self)?);
        }
        Ok(Some(list))
    }

    pub(super) fn list<T>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        Ok(self.optional_list(element)?.unwrap_or_default())
    }

    /// Passes the tagged fields with which a structure ends; we know none.
    pub(super) fn tags(&mut self) -> Result<(), Malformed> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.varint()?;
        if count > MAX_TAGS {
            return Err(Malformed("a structure has too many tagged fields"));
        }
        for _ in 0..count {
            self.varint()?;
            let size = self.varint()?;
            self.take(size as usize)?;
        }
        Ok(())
    }
}

/// A response as it is written.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Whether lengths are compact and structures end with tagged fields.
    pub(super) flexible: bool,
}

impl Output {
    /// Begins a response's frame: room for its length, then its number.
    pub(super) fn begin(correlation: i32) -> Self {
        let mut output = Self::default();
        output.i32(0);
        output.i32(correlation);
        output
    }

    /// Returns the frame, its length in front.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = (self.bytes.len() - 4) as i32;
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }

    pub(super) fn i8(&mut self, number: i8) {
        self.bytes.push(number as u8);
    }

    pub(super) fn bool(&mut self, yes: bool) {
        self.i8(i8::from(yes));
    }

    pub(super) fn i16(&mut self, number: i16) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn i32(&mut self, number: i32) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn i64(&mut self, number: i64) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    fn varint(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn length(&mut self, length: Option<usize>, short: bool) {
        match (self.flexible, short) {
            (true, _) => self.varint(length.map_or(0, |length| length as u32 + 1)),
            (false, true) => self.i16(length.map_or(-1, |length| length as i16)),
            (false, false) => self.i32(length.map_or(-1, |length| length as i32)),
        }
    }

    pub(super) fn optional_text(&mut self, text: Option<&str>) {
        self.length(text.map(str::len), true);
        self.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.optional_text(Some(text));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.length(Some(bytes.len()), false);
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn list<T>(&mut self, list: &[T], mut element: impl FnMut(&mut Self, &T)) {
        self.length(Some(list.len()), false);
        for item in list {
            element(self, item);
        }
    }

    /// Ends a structure: no tagged fields.
    pub(super) fn tags(&mut self) {
        if self.flexible {
            self.varint(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            flexible: bool,
            number: i64,
            text in proptest::option::of("[a-zé]{0,300}"),
            list in proptest::collection::vec(any::<i32>(), 0..200),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut output = Output::begin(7);
            output.flexible = flexible;
            output.i64(number);
            output.optional_text(text.as_deref());
            output.list(&list, |output, item| {
                output.i32(*item);
                output.tags();
            });
            output.bytes(&bytes);
            output.tags();
            let frame = output.finish();
            let mut input = Input::new(&frame);
            prop_assert_eq!(input.i32().unwrap() as usize, frame.len() - 4);
            prop_assert_eq!(input.i32().unwrap(), 7);
            input.flexible = flexible;
            prop_assert_eq!(input.i64().unwrap(), number);
            prop_assert_eq!(input.optional_text().unwrap(), text.as_deref());
            let read = input.list(|input| {
                let item = input.i32()?;
                input.tags()?;
                Ok(item)
            });
            prop_assert_eq!(read.unwrap(), list);
            prop_assert_eq!(input.bytes().unwrap(), &bytes);
            input.tags().unwrap();
            prop_assert!(input.bytes.is_empty());
        }
    }

    #[test]
    fn an_array_that_claims_more_than_there_is_takes_no_room() {
        let mut frame = i32::MAX.to_be_bytes().to_vec();
        frame.extend([0; 100]);
        let read = Input::new(&frame).list(Input::i8);
        assert!(read.is_err());
    }
}
