//! What is in a frame: runs of whole lines of one stream, and how they are packed. Never touches a file.
//!
//! A run is a letter (the stream), the length as four bytes, low byte first, and the lines.

use memchr::memchr_iter;
use zstd::bulk::{Compressor, Decompressor};

use crate::model::build::Stream;
use crate::store::StoreError;
use crate::store::sql::Result;

/// Lines are gathered to frames of about this size: small enough to read one line out of it quickly, large enough to
/// compress well.
pub(super) const FRAME: usize = 256 * 1024;
/// A longer line is cut into several, so that no line needs more memory than this.
pub(super) const MAX_LINE: usize = 1024 * 1024;
/// No frame is larger unpacked; an index that says so is damaged.
pub(super) const MAX_UNPACKED: u64 = (FRAME + MAX_LINE + 4096) as u64;

const HEADER: usize = 5;
const LEVEL: i32 = 1;

/// Lines in the order in which they came, with their streams.
#[derive(Clone, Default)]
pub(super) struct Runs {
    bytes: Vec<u8>,
    /// Where the last run starts, and its stream.
    last: Option<(usize, Stream)>,
    pub lines: i64,
    pub content: u64,
}

impl Runs {
    /// Adds whole lines.
    pub fn push(&mut self, stream: Stream, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let start = match self.last {
            Some((start, last)) if last == stream => start,
            _ => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(&[stream as u8, 0, 0, 0, 0]);
                self.last = Some((start, stream));
                start
            }
        };
        self.bytes.extend_from_slice(lines);
        let length = (self.bytes.len() - start - HEADER) as u32;
        self.bytes[start + 1..start + HEADER].copy_from_slice(&length.to_le_bytes());
        self.lines += count_lines(lines);
        self.content += lines.len() as u64;
    }

    /// Room that is left before the frame is full.
    pub fn room(&self) -> usize {
        FRAME.saturating_sub(self.bytes.len())
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Empty again; the memory is kept for the next lines unless a very long line made it large.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(FRAME + 4096);
        *self = Runs { bytes: std::mem::take(&mut self.bytes), ..Runs::default() };
    }
}

pub(super) fn count_lines(lines: &[u8]) -> i64 {
    memchr_iter(b'\n', lines).count() as i64
}

/// The runs of a frame, or the news that it is none.
pub(super) fn runs(mut bytes: &[u8]) -> impl Iterator<Item = Result<(Stream, &[u8]), &'static str>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let run = split_run(bytes);
        bytes = run.map_or(&[], |(_, _, rest)| rest);
        Some(run.map(|(stream, lines, _)| (stream, lines)).ok_or("its runs of lines make no sense"))
    })
}

fn split_run(bytes: &[u8]) -> Option<(Stream, &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let [letter, length @ ..] = header;
    let (lines, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((Stream::from_letter(*letter)?, lines, rest))
}

/// A compressor with the buffer it writes into.
pub(super) struct Packer {
    compressor: Compressor<'static>,
    buffer: Vec<u8>,
}

impl Packer {
    pub fn new() -> Result<Packer> {
        let failed = |error: std::io::Error| StoreError::database(error).during("preparing to compress a log");
        let mut compressor = Compressor::new(LEVEL).map_err(failed)?;
        // So that a damaged file is noticed, not read.
        compressor.include_checksum(true).map_err(failed)?;
        Ok(Packer { compressor, buffer: Vec::new() })
    }

    pub fn pack(&mut self, bytes: &[u8]) -> std::io::Result<&[u8]> {
        self.buffer.clear();
        self.buffer.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.compressor.compress_to_buffer(bytes, &mut self.buffer)?;
        Ok(&self.buffer)
    }
}

/// The bytes of a packed frame that must have `unpacked` of them.
pub(super) fn unpack(packed: &[u8], unpacked: u64) -> std::io::Result<Vec<u8>> {
    let bytes = Decompressor::new()?.decompress(packed, unpacked as usize)?;
    match bytes.len() as u64 == unpacked {
        true => Ok(bytes),
        false => Err(std::io::Error::other(format!("it unpacks to {} bytes instead of {unpacked}", bytes.len()))),
    }
}
