//! A header block in, its fields out.

use std::ops::Range;

use super::{Error, Field, dynamic_table::DynamicTable, huffman, static_table};

/// Bytes of a decoder's scratch space that outlive the block they were needed for.
const SCRATCH_KEPT: usize = 4 << 10;

/// Reads the header blocks of one direction of a connection, in order.
///
/// ```text
///   first byte   RFC 7541   representation
///   1xxxxxxx     6.1        a table's field
///   01xxxxxx     6.2.1      literal, inserted into the dynamic table
///   001xxxxx     6.3        size update; only before the first field
///   0001xxxx     6.2.3      literal, never indexed
///   0000xxxx     6.2.2      literal
/// ```
///
/// Heap memory stays below about five times the limit plus four times the block in hand; an unused decoder has none. Time is proportional to the block, save that a literal which takes its name from the dynamic table and goes
/// there itself copies the name.
pub struct Decoder {
    table: DynamicTable,
    /// What a size update may say.
    limit: usize,
    /// The limit fell below the table's size: the next block begins with a size update of at most this.
    owed: Option<usize>,
    /// The strings of one literal that do not lie in the block as they are.
    scratch: Vec<u8>,
    failed: Option<Error>,
}

impl Decoder {
    /// A decoder whose dynamic table has `limit` bytes as of RFC 7541 section 4.1. HTTP/2 starts with 4,096.
    ///
    /// No integer of HPACK's exceeds `u32::MAX` here, so neither does the limit.
    pub fn new(limit: usize) -> Self {
        let limit = clamp(limit);
        Self { table: DynamicTable::new(limit), limit, owed: None, scratch: Vec::new(), failed: None }
    }

    /// Sets what size updates may say; to be called when the peer acknowledged `SETTINGS_HEADER_TABLE_SIZE`.
    ///
    /// A limit below the table's size in force evicts at once, and the next block must begin with a size update that
    /// says so (RFC 7541 section 4.2, RFC 9113 section 4.3.1). If the limit changed more than once, that update must
    /// state the smallest one, or less. A higher limit changes nothing until a size update makes use of it.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = clamp(limit);
        if self.limit < self.table.capacity() {
            self.table.set_capacity(self.limit);
            self.owed = Some(self.limit);
        }
    }

    /// What the size update must say at most with which the next block is to begin, if it must.
    pub fn owed(&self) -> Option<usize> {
        self.owed
    }

    /// Decodes one complete block, and gives its fields to `sink` in order.
    ///
    /// Those before an error have been given. After an error the decoder is unusable: it has no more than the error to
    /// give.
    pub fn decode(&mut self, block: &[u8], mut sink: impl FnMut(Field<'_>)) -> Result<(), Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.fields(block, &mut sink);
        self.failed = result.err();
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
        self.table.check_invariants();
        result
    }

    fn fields(&mut self, block: &[u8], sink: &mut impl FnMut(Field<'_>)) -> Result<(), Error> {
        let mut input = Input { rest: block };
        self.size_updates(&mut input)?;
        while let Some(first) = input.next() {
            match first {
                0x80.. => {
                    let index = input.integer(first, 0x7f)?;
                    let (name, value) = entry(&self.table, index)?;
                    sink(Field { name, value, never_indexed: false });
                }
                0x40..0x80 => self.literal(&mut input, first, 0x3f, sink)?,
                0x20..0x40 => return Err(Error::SizeUpdateMisplaced),
                0x00..0x20 => self.literal(&mut input, first, 0x0f, sink)?,
            }
        }
        Ok(())
    }

    fn size_updates(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        let mut count = 0;
        while let Some(first @ 0x20..0x40) = input.rest.first().copied() {
            input.next();
            // The smallest limit since the last block, and the one in force.
            if count == 2 {
                return Err(Error::SizeUpdateMisplaced);
            }
            count += 1;
            let size = input.integer(first, 0x1f)?;
            if size > self.limit {
                return Err(Error::SizeUpdateTooLarge);
            }
            if self.owed.take().is_some_and(|most| size > most) {
                return Err(Error::SizeUpdateMissing);
            }
            self.table.set_capacity(size);
        }
        if self.owed.is_some() { Err(Error::SizeUpdateMissing) } else { Ok(()) }
    }

    /// A literal whose first byte is `first`, with its name's index in the bits of `mask`.
    fn literal(
        &mut self,
        input: &mut Input<'_>,
        first: u8,
        mask: u8,
        sink: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Error> {
        let Self { table, scratch, .. } = self;
        scratch.clear();
        let index = input.integer(first, mask)?;
        let new_name = if index == 0 {
            Some(input.text(scratch)?)
        } else {
            entry(table, index)?;
            None
        };
        let value = input.text(scratch)?;
        let name = match &new_name {
            Some(name) => name.bytes(scratch),
            None => entry(table, index)?.0,
        };
        sink(Field { name, value: value.bytes(scratch), never_indexed: first & 0xf0 == 0x10 });
        if first & 0x40 != 0 {
            // The insertion may evict the entry that has the name (section 4.4).
            let name = match new_name {
                Some(name) => name,
                None => Text::copy(entry(table, index)?.0, scratch),
            };
            table.insert(name.bytes(scratch), value.bytes(scratch));
        }
        Ok(())
    }

    /// The bytes of the dynamic table's entries as of RFC 7541 section 4.1.
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// The heap memory that the decoder holds, in bytes.
    pub fn memory(&self) -> usize {
        self.table.memory() + self.scratch.capacity()
    }

    /// The dynamic table's entries, the newest (index 62) first.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.table.entries()
    }
}

fn clamp(limit: usize) -> usize {
    limit.min(u32::MAX as usize)
}

/// Both tables in the one address space of section 2.3.3.
fn entry(table: &DynamicTable, index: usize) -> Result<(&[u8], &[u8]), Error> {
    match index.checked_sub(1).ok_or(Error::Index)? {
        at if at < static_table::FIELDS.len() => Ok(static_table::FIELDS[at]),
        at => table.get(at - static_table::FIELDS.len()).ok_or(Error::Index),
    }
}

/// A string of a literal.
enum Text<'a> {
    /// In the block.
    Plain(&'a [u8]),
    /// In the scratch space.
    Scratch(Range<usize>),
}

impl Text<'_> {
    fn copy(bytes: &[u8], scratch: &mut Vec<u8>) -> Self {
        let start = scratch.len();
        scratch.extend_from_slice(bytes);
        Self::Scratch(start..scratch.len())
    }

    fn bytes<'s>(&'s self, scratch: &'s [u8]) -> &'s [u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Scratch(range) => &scratch[range.clone()],
        }
    }
}

/// What is left of a block.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// An integer of section 5.1 that begins in those bits of `first` that are in `mask`.
    fn integer(&mut self, first: u8, mask: u8) -> Result<usize, Error> {
        let prefix = first & mask;
        if prefix < mask { Ok(usize::from(prefix)) } else { self.long_integer(mask) }
    }

    #[cold]
    fn long_integer(&mut self, prefix: u8) -> Result<usize, Error> {
        let mut value = u64::from(prefix);
        // Five times seven bits are the fewest that hold any u32.
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.next().ok_or(Error::Truncated)?;
            value += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map(|value| value as usize).map_err(|_| Error::Integer);
            }
        }
        Err(Error::Integer)
    }

    /// A string of section 5.2.
    fn text(&mut self, scratch: &mut Vec<u8>) -> Result<Text<'a>, Error> {
        let first = self.next().ok_or(Error::Truncated)?;
        let length = self.integer(first, 0x7f)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Error::Truncated)?;
        self.rest = rest;
        if first & 0x80 == 0 {
            return Ok(Text::Plain(bytes));
        }
        let start = scratch.len();
        huffman::decode(bytes, scratch)?;
        Ok(Text::Scratch(start..scratch.len()))
    }
}
