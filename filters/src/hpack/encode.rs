//! Header blocks that leave the dynamic table alone: any decoder reads them, whatever its table holds.
//!
//! Strings are written plain. Huffman coding would save a quarter of the bytes on a path of one hop, where a request's
//! block is less than a packet either way, and the reader would need some ten times as long for the block.

use super::static_table::{self, Found};

/// Appends one field: an index of the static table if that has name and value, else a literal that is not inserted.
///
/// A field that was never indexed where it came from stays so (RFC 7541 section 6.2.3), and is a literal always.
pub fn literal(out: &mut Vec<u8>, name: &[u8], value: &[u8], never_indexed: bool) {
    let representation = if never_indexed { 0x10 } else { 0x00 };
    match static_table::find(name, value) {
        Some(Found::Field(index)) if !never_indexed => return integer(out, 0x80, 0x7f, index),
        Some(Found::Field(index) | Found::Name(index)) => integer(out, representation, 0x0f, index),
        None => {
            integer(out, representation, 0x0f, 0);
            string(out, name);
        }
    }
    string(out, value);
}

/// Appends a size update of the dynamic table (RFC 7541 section 6.3); it belongs before the block's first field.
///
/// It is due after the reader lowered its `SETTINGS_HEADER_TABLE_SIZE`, even if no field is ever inserted.
pub fn size_update(out: &mut Vec<u8>, size: usize) {
    integer(out, 0x20, 0x1f, size);
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    integer(out, 0x00, 0x7f, bytes.len());
    out.extend_from_slice(bytes);
}

/// An integer of section 5.1: `first` has the bits that are not in `mask`.
fn integer(out: &mut Vec<u8>, first: u8, mask: u8, value: usize) {
    match u8::try_from(value) {
        Ok(value) if value < mask => out.push(first | value),
        _ => {
            out.push(first | mask);
            let mut rest = value - usize::from(mask);
            while rest >= 0x80 {
                out.push(0x80 | rest.to_le_bytes()[0]);
                rest >>= 7;
            }
            out.push(rest.to_le_bytes()[0]);
        }
    }
}
