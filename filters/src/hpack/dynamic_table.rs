//! The dynamic table of RFC 7541 sections 2.3.2 and 4: the newest fields, in a queue of bounded size.

use std::collections::VecDeque;

/// What an entry counts besides its name and value (section 4.1).
const ENTRY_OVERHEAD: usize = 32;

/// Names and values lie one behind the other in one buffer; an eviction only moves its begin.
///
/// ```text
///   bytes     evicted… name value name value … name value
///             ├─ dead ─┤├─ oldest ┤            ├─ newest ┤
///   removed + 0                   removed + entries[n].start
/// ```
///
/// The dead part goes when it is as long as the live one: so each byte is moved once or less for each byte inserted,
/// and `bytes` is at most twice the capacity.
pub(super) struct DynamicTable {
    bytes: Vec<u8>,
    /// Bytes at the begin of `bytes` that belong to evicted entries.
    dead: usize,
    /// Bytes that were taken from the begin of `bytes` so far; wraps.
    removed: usize,
    /// The newest first.
    entries: VecDeque<Entry>,
    /// The sum of the entries' sizes.
    size: usize,
    /// The size in force, as the last size update set it; `size` is at most this.
    capacity: usize,
}

struct Entry {
    /// Where the name is, counted from the first byte that ever was in the buffer; wraps.
    start: usize,
    name: u32,
    value: u32,
}

impl Entry {
    fn length(&self) -> usize {
        self.name as usize + self.value as usize
    }
}

impl DynamicTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: Vec::new(), dead: 0, removed: 0, entries: VecDeque::new(), size: 0, capacity }
    }

    /// The entry with this index, where the newest has 0.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.entries.get(index).map(|entry| self.field(entry))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|entry| self.field(entry))
    }

    fn field(&self, entry: &Entry) -> (&[u8], &[u8]) {
        let start = entry.start.wrapping_sub(self.removed);
        self.bytes[start..start + entry.length()].split_at(entry.name as usize)
    }

    /// Inserts a field, and evicts the oldest to make room. One larger than the table empties it (section 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        let (Some(room), Ok(name_length), Ok(value_length)) =
            (self.capacity.checked_sub(size), u32::try_from(name.len()), u32::try_from(value.len()))
        else {
            return self.evict_to(0);
        };
        self.evict_to(room);
        let start = self.removed.wrapping_add(self.bytes.len());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.entries.push_front(Entry { start, name: name_length, value: value_length });
        self.size += size;
    }

    /// Sets the size in force; what a lower one frees goes back to the allocator.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.evict_to(capacity);
        if capacity < self.capacity {
            self.compact();
            self.bytes.shrink_to(capacity);
            self.entries.shrink_to(capacity / ENTRY_OVERHEAD);
        }
        self.capacity = capacity;
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.length() + ENTRY_OVERHEAD;
            self.dead += entry.length();
        }
        if self.dead >= self.bytes.len() - self.dead {
            self.compact();
        }
    }

    fn compact(&mut self) {
        self.bytes.drain(..self.dead);
        self.removed = self.removed.wrapping_add(self.dead);
        self.dead = 0;
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Heap memory in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// In debug builds: entries follow each other without gaps, and their sizes add up.
    pub(super) fn check_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let mut at = self.dead;
        for entry in self.entries.iter().rev() {
            assert_eq!(entry.start.wrapping_sub(self.removed), at, "entries in a row");
            at += entry.length();
        }
        assert_eq!(at, self.bytes.len(), "live bytes are the entries' bytes");
        assert_eq!(at - self.dead + self.entries.len() * ENTRY_OVERHEAD, self.size, "sum of sizes");
        assert!(self.size <= self.capacity, "at most the size in force");
        assert!(self.dead == 0 || self.dead < at - self.dead, "dead bytes are the lesser part");
    }
}
