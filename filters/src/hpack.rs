//! HPACK (RFC 7541), the compression of HTTP/2 header blocks, read strictly and with bounded memory.
//!
//! Every block of a connection changes the table that the next one is read with, so each is decoded, wanted or not, and
//! what weir judges is what this module says. Where two readings of a block exist the block is refused.
//!
//! ```text
//!   block ──▶ decode ──▶ Field, Field, …          Field ──▶ encode ──▶ block
//!               │  ▲                                          │
//!         huffman  │                                          │
//!               ▼  │                                          │
//!          dynamic_table, static_table ◀──────────────────────┘ (static only)
//! ```
//!
//! An error is a connection error of type `COMPRESSION_ERROR` (RFC 9113 section 4.3): the tables of the two sides differ
//! from there on.

// Own code, because policy is judged by it. h2's codec is private. loona-hpack 0.4 (like hpack, which it stems from)
// does not say which field was never indexed, takes size updates anywhere and hashes every bit of a Huffman string;
// httlib-hpack 0.1 collects owned fields before its caller can count them, and panics at a truncated integer;
// hpack_codec 0.1 does not look for a size update that is due. None has been released for two years.

use thiserror::Error;

mod decode;
mod dynamic_table;
pub mod encode;
mod huffman;
mod static_table;
#[cfg(test)]
mod tests;

pub use decode::Decoder;

/// One header field of a block. The slices are valid during the call that gets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// As it was sent; HTTP/2 demands lower case, HPACK does not.
    pub name: &'a [u8],
    /// Any bytes.
    pub value: &'a [u8],
    /// Whoever forwards the field must not index it either (RFC 7541 section 7.1.3).
    pub never_indexed: bool,
}

/// Why a header block is refused.
///
/// The Huffman code is complete, every bit belongs to some code; so there is no error for a code that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Error {
    /// An integer, or a string it announces, goes on after the end of the block.
    #[error("HPACK: truncated block")]
    Truncated,
    /// An integer (section 5.1) above `u32::MAX`, or of more than five bytes after its first.
    #[error("HPACK: integer too large")]
    Integer,
    /// Index 0, or one behind the dynamic table's last entry (sections 2.3.3 and 6.1).
    #[error("HPACK: no entry has this index")]
    Index,
    /// A size update (section 6.3) above the limit that was acknowledged.
    #[error("HPACK: table size update above the limit")]
    SizeUpdateTooLarge,
    /// A size update behind a field, or a third one (section 4.2).
    #[error("HPACK: misplaced table size update")]
    SizeUpdateMisplaced,
    /// The limit fell below the size in force, and the next block does not begin by saying so (section 4.2).
    #[error("HPACK: table size update missing")]
    SizeUpdateMissing,
    /// The code EOS inside of a string (section 5.2).
    #[error("HPACK: EOS in a Huffman string")]
    HuffmanEos,
    /// A Huffman string that ends with more than seven bits of padding, or in others than ones (section 5.2).
    #[error("HPACK: malformed Huffman padding")]
    HuffmanPadding,
}
