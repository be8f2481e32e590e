//! Which values are in a stream of bytes? Banana, the lowest layer of PB: integers, floats, byte strings and lists.
//!
//! The decoder is incremental: what it has understood of a message it keeps as a tree and never looks at again, so a
//! message in a thousand pieces costs the same as one in a single piece. Strings are slices of the read buffer. It
//! never believes a length before the bytes are there, and it never does I/O.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Most bytes before a type byte, as stock peers have it: integers of up to 448 bits.
const PREFIX: usize = 64;

const LIST: u8 = 0x80;
const INT: u8 = 0x81;
const STRING: u8 = 0x82;
const NEG: u8 = 0x83;
const FLOAT: u8 = 0x84;
const LONGINT: u8 = 0x85;
const LONGNEG: u8 = 0x86;
const VOCAB: u8 = 0x87;

/// Words that the `pb` dialect sends as a number, counted from 1.
const WORDS: [&str; 31] = [
    "None",
    "class",
    "dereference",
    "reference",
    "dictionary",
    "function",
    "instance",
    "list",
    "module",
    "persistent",
    "tuple",
    "unpersistable",
    "copy",
    "cache",
    "cached",
    "remote",
    "local",
    "lcache",
    "version",
    "login",
    "password",
    "challenge",
    "logged_in",
    "not_logged_in",
    "cachemessage",
    "message",
    "answer",
    "error",
    "decref",
    "decache",
    "uncache",
];

/// One value of the stream.
#[derive(Clone, PartialEq, Debug)]
pub enum Banana {
    /// Integers beyond 64 bits are cut to the nearest that fits.
    Int(i64),
    Float(f64),
    Bytes(Bytes),
    List(Vec<Banana>),
}

/// Why a stream is no Banana, or more of it than is taken.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BananaError {
    #[error("byte {0:#04x} where a type byte is expected")]
    TypeByte(u8),
    #[error("more than {PREFIX} bytes before a type byte")]
    Prefix,
    #[error("a string longer than {0} bytes")]
    LongString(usize),
    #[error("a list of more than {0} items")]
    LongList(usize),
    #[error("lists nested deeper than {0}")]
    Deep(usize),
    #[error("a message of more than {0} bytes")]
    LongMessage(usize),
    #[error("a message of more than {0} elements")]
    ManyElements(usize),
    #[error("no word has the number {0}")]
    Word(u64),
}

/// How much of a stranger is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    pub string_bytes: usize,
    pub list_items: usize,
    pub depth: usize,
    pub message_bytes: usize,
    pub elements: usize,
}

/// The longest string that stock peers send or take.
pub const MAX_STRING: usize = 640 * 1024;

impl Limits {
    /// Enough to log in, for those who have not yet.
    pub const STRANGER: Limits = Limits { string_bytes: 2048, list_items: 16, depth: 8, message_bytes: 4096, elements: 64 };
    /// For a worker that has shown its password.
    pub const WORKER: Limits =
        Limits { string_bytes: MAX_STRING, list_items: 262_144, depth: 100, message_bytes: 8 * 1024 * 1024, elements: 262_144 };
}

/// A list whose items are still coming.
struct Open {
    missing: usize,
    items: Vec<Banana>,
}

enum Step {
    Item(Banana),
    Opened,
    Starved,
}

/// Bytes in, values out.
pub struct Decoder {
    limits: Limits,
    buffer: BytesMut,
    open: Vec<Open>,
    /// Nothing can be understood before the buffer is this long.
    need: usize,
    /// Bytes of the message so far, and elements that its lists promise.
    bytes: usize,
    elements: usize,
}

impl Decoder {
    pub fn new(limits: Limits) -> Decoder {
        Decoder { limits, buffer: BytesMut::new(), open: Vec::new(), need: 1, bytes: 0, elements: 0 }
    }

    /// From the next element on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Where new bytes are to be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// How many more bytes are surely needed before [`Decoder::decode`] can get on.
    pub fn missing(&self) -> usize {
        self.need.saturating_sub(self.buffer.len())
    }

    /// Frees the buffer if nothing is in it.
    pub fn release(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.buffer = BytesMut::new();
        }
    }

    /// The next value, if it is complete. After an error the stream is lost: close it.
    pub fn decode(&mut self) -> Result<Option<Banana>, BananaError> {
        while self.buffer.len() >= self.need {
            match self.step()? {
                Step::Item(item) => {
                    if let Some(whole) = self.place(item) {
                        (self.bytes, self.elements) = (0, 0);
                        return Ok(Some(whole));
                    }
                }
                Step::Opened => {}
                Step::Starved => break,
            }
        }
        Ok(None)
    }

    /// Puts an item into the innermost open list; the outermost value comes back when it is whole.
    fn place(&mut self, mut item: Banana) -> Option<Banana> {
        while let Some(list) = self.open.last_mut() {
            list.items.push(item);
            list.missing -= 1;
            if list.missing > 0 {
                return None;
            }
            item = Banana::List(self.open.pop()?.items);
        }
        Some(item)
    }

    fn step(&mut self) -> Result<Step, BananaError> {
        let Some(digits) = self.buffer.iter().take(PREFIX + 1).position(|byte| *byte >= 0x80) else {
            if self.buffer.len() > PREFIX {
                return Err(BananaError::Prefix);
            }
            self.need = self.buffer.len() + 1;
            return Ok(Step::Starved);
        };
        if digits > PREFIX {
            return Err(BananaError::Prefix);
        }
        let number = little_endian(&self.buffer[..digits]);
        let kind = self.buffer[digits];
        let header = digits + 1;
        let body = match kind {
            STRING => number.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= self.limits.string_bytes),
            FLOAT => Some(8),
            _ => Some(0),
        };
        let body = body.ok_or(BananaError::LongString(self.limits.string_bytes))?;
        if self.bytes + header + body > self.limits.message_bytes {
            return Err(BananaError::LongMessage(self.limits.message_bytes));
        }
        if self.buffer.len() < header + body {
            self.need = header + body;
            return Ok(Step::Starved);
        }
        self.need = 1;
        self.bytes += header + body;
        self.buffer.advance(header);
        Ok(Step::Item(match kind {
            LIST => return self.open_list(number),
            INT | LONGINT => Banana::Int(number.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX)),
            NEG | LONGNEG => Banana::Int(number.and_then(|n| 0i64.checked_sub_unsigned(n)).unwrap_or(i64::MIN)),
            STRING => Banana::Bytes(self.buffer.split_to(body).freeze()),
            FLOAT => Banana::Float(self.buffer.get_f64()),
            VOCAB => Banana::Bytes(word(number)?),
            other => return Err(BananaError::TypeByte(other)),
        }))
    }

    fn open_list(&mut self, number: Option<u64>) -> Result<Step, BananaError> {
        let missing = number.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= self.limits.list_items);
        let missing = missing.ok_or(BananaError::LongList(self.limits.list_items))?;
        self.elements += missing;
        if self.elements > self.limits.elements {
            return Err(BananaError::ManyElements(self.limits.elements));
        }
        if missing == 0 {
            return Ok(Step::Item(Banana::List(Vec::new())));
        }
        if self.open.len() >= self.limits.depth {
            return Err(BananaError::Deep(self.limits.depth));
        }
        // The count is only a promise; room for more than a few is made when they come.
        self.open.push(Open { missing, items: Vec::with_capacity(missing.min(16)) });
        Ok(Step::Opened)
    }
}

/// The digits' value; none if it needs more than 64 bits.
fn little_endian(digits: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (place, digit) in digits.iter().enumerate().filter(|(_, digit)| **digit != 0) {
        let shift = 7 * place as u32;
        let shifted = u64::from(*digit).checked_shl(shift)?;
        if shifted >> shift != u64::from(*digit) {
            return None;
        }
        value |= shifted;
    }
    Some(value)
}

fn word(number: Option<u64>) -> Result<Bytes, BananaError> {
    let number = number.unwrap_or(u64::MAX);
    let found = number.checked_sub(1).and_then(|index| WORDS.get(usize::try_from(index).ok()?));
    found.map(|word| Bytes::from_static(word.as_bytes())).ok_or(BananaError::Word(number))
}

fn word_number(text: &[u8]) -> Option<u64> {
    if text.len() > 13 {
        return None;
    }
    WORDS.iter().position(|word| word.as_bytes() == text).map(|index| index as u64 + 1)
}

fn put_header(out: &mut BytesMut, mut number: u64, kind: u8) {
    loop {
        out.put_u8((number & 0x7f) as u8);
        number >>= 7;
        if number == 0 {
            break;
        }
    }
    out.put_u8(kind);
}

/// The start of a list of so many items, which must follow.
pub fn put_list(out: &mut BytesMut, items: usize) {
    put_header(out, items as u64, LIST);
}

pub fn put_int(out: &mut BytesMut, value: i64) {
    let kind = match value {
        0x8000_0000.. => LONGINT,
        0.. => INT,
        -0x8000_0000..0 => NEG,
        _ => LONGNEG,
    };
    put_header(out, value.unsigned_abs(), kind);
}

pub fn put_float(out: &mut BytesMut, value: f64) {
    out.put_u8(FLOAT);
    out.put_f64(value);
}

/// A byte string, as its number if it is a word of the dialect.
pub fn put_bytes(out: &mut BytesMut, value: &[u8]) {
    match word_number(value) {
        Some(number) => put_header(out, number, VOCAB),
        None => {
            put_header(out, value.len() as u64, STRING);
            out.put_slice(value);
        }
    }
}

impl Banana {
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Banana::Int(value) => put_int(out, *value),
            Banana::Float(value) => put_float(out, *value),
            Banana::Bytes(value) => put_bytes(out, value),
            Banana::List(items) => {
                put_list(out, items.len());
                items.iter().for_each(|item| item.encode(out));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> impl Strategy<Value = Banana> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Banana::Int),
            (-1e300f64..1e300).prop_map(Banana::Float),
            proptest::collection::vec(any::<u8>(), 0..200).prop_map(|b| Banana::Bytes(b.into())),
            proptest::sample::select(&WORDS[..]).prop_map(|w| Banana::Bytes(w.into())),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| proptest::collection::vec(inner, 0..8).prop_map(Banana::List))
    }

    fn decode(bytes: &[u8], limits: Limits) -> Result<Vec<Banana>, BananaError> {
        let mut decoder = Decoder::new(limits);
        decoder.buffer().extend_from_slice(bytes);
        let mut found = Vec::new();
        while let Some(value) = decoder.decode()? {
            found.push(value);
        }
        Ok(found)
    }

    #[test]
    fn encodes_as_stock_peers_do() {
        for (value, bytes) in [
            (Banana::Int(0), &[0x00, 0x81][..]),
            (Banana::Int(-1), &[0x01, 0x83]),
            (Banana::Int(200), &[0x48, 0x01, 0x81]),
            (Banana::Int(1 << 31), &[0, 0, 0, 0, 8, 0x85]),
            (Banana::Int(-(1 << 31)), &[0, 0, 0, 0, 8, 0x83]),
            (Banana::Bytes(Bytes::new()), &[0x00, 0x82]),
            (Banana::List(vec![]), &[0x00, 0x80]),
            (Banana::List(vec![Banana::Bytes("version".into()), Banana::Int(6)]), &[0x02, 0x80, 0x13, 0x87, 0x06, 0x81]),
        ] {
            let mut out = BytesMut::new();
            value.encode(&mut out);
            assert_eq!(&out[..], bytes, "{value:?}");
            assert_eq!(decode(bytes, Limits::STRANGER), Ok(vec![value]));
        }
    }

    #[test]
    fn huge_integers_are_cut() {
        let mut digits = vec![0x7f; 64];
        digits.push(LONGINT);
        assert_eq!(decode(&digits, Limits::WORKER), Ok(vec![Banana::Int(i64::MAX)]));
        digits[64] = LONGNEG;
        assert_eq!(decode(&digits, Limits::WORKER), Ok(vec![Banana::Int(i64::MIN)]));
        let mut out = BytesMut::new();
        put_int(&mut out, i64::MIN);
        assert_eq!(decode(&out, Limits::WORKER), Ok(vec![Banana::Int(i64::MIN)]));
    }

    #[test]
    fn what_is_too_much_is_named_before_it_comes() {
        let small = Limits { string_bytes: 10, list_items: 4, depth: 2, message_bytes: 30, elements: 6 };
        let cases: [(&[u8], BananaError); 9] = [
            (b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: something/1.0 (long)\r\n", BananaError::Prefix),
            (&[0x0b, STRING], BananaError::LongString(10)),
            (&[0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, STRING], BananaError::LongString(10)),
            (&[0x05, LIST], BananaError::LongList(4)),
            (&[0x01, LIST, 0x01, LIST, 0x01, LIST], BananaError::Deep(2)),
            (&[0x04, LIST, 0x04, LIST], BananaError::ManyElements(6)),
            (
                &[0x04, LIST, 0x0a, STRING, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, STRING, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, STRING],
                BananaError::LongMessage(30),
            ),
            (&[0x20, VOCAB], BananaError::Word(32)),
            (&[0x01, 0xff], BananaError::TypeByte(0xff)),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode(bytes, small), Err(error), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn comes_back_however_it_is_cut(values in proptest::collection::vec(tree(), 1..5), cuts in proptest::collection::vec(1usize..40, 1..50)) {
            let mut bytes = BytesMut::new();
            values.iter().for_each(|value| value.encode(&mut bytes));
            let mut decoder = Decoder::new(Limits::WORKER);
            let mut found = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                decoder.buffer().extend_from_slice(piece);
                while let Some(value) = decoder.decode().unwrap() {
                    found.push(value);
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, values);
            prop_assert!(decoder.buffer().is_empty());
        }

        #[test]
        fn noise_never_panics_and_makes_no_more_than_its_length(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
            fn count(value: &Banana) -> usize {
                match value {
                    Banana::List(items) => 1 + items.iter().map(count).sum::<usize>(),
                    _ => 1,
                }
            }
            let mut decoder = Decoder::new(Limits::WORKER);
            decoder.buffer().extend_from_slice(&noise);
            let mut elements = 0;
            while let Ok(Some(value)) = decoder.decode() {
                elements += count(&value);
            }
            prop_assert!(elements <= noise.len());
            prop_assert!(decoder.open.len() <= 100);
            prop_assert!(decoder.open.iter().map(|o| o.items.capacity()).sum::<usize>() <= noise.len() * 2 + 1600);
        }
    }
}
