//! Properties of any bytes, and of what is written here.

use proptest::{collection::vec, prelude::*};
use weir_filters::hpack::{Decoder, encode};

use crate::{
    decode,
    reference::{name, value},
};

/// Bytes that are almost a block.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\x40\x01a\x01b".to_vec()),
        2 => (0x80..=0xff_u8).prop_map(|index| vec![index]),
        2 => (0x3e..=0x7f_u8, vec(any::<u8>(), 0..100)).prop_map(|(first, value)| {
            let mut piece = vec![first, value.len().to_le_bytes()[0]];
            piece.extend(value);
            piece
        }),
        // Four bits of every five are zero: few codes are longer than a byte, and the end is padding.
        2 => vec(prop_oneof![Just(0x00), Just(0x1f), any::<u8>()], 1..100).prop_map(|coded| {
            let mut piece = vec![0x44, 0x80 | coded.len().to_le_bytes()[0]];
            piece.extend(coded);
            piece
        }),
        1 => (0x20..=0x3e_u8).prop_map(|size| vec![size]),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read(fields in vec((name(), value(), any::<bool>()), 0..12), size in 0..5000_usize) {
        let mut block = Vec::new();
        encode::size_update(&mut block, size);
        for (name, value, never_indexed) in &fields {
            encode::literal(&mut block, name, value, *never_indexed);
        }
        let mut decoder = Decoder::new(5000);
        prop_assert_eq!(decode(&mut decoder, &block), Ok(fields));
        prop_assert_eq!(decoder.table_size(), 0);
    }

    #[test]
    fn any_bytes_are_read_within_bounds(
        limit in prop_oneof![Just(0), Just(4096), 0..1000_usize],
        blocks in vec(prop_oneof![vec(any::<u8>(), 0..200), noise()], 1..8),
    ) {
        let mut decoder = Decoder::new(limit);
        let mut failed = None;
        for block in &blocks {
            let mut longest = 0;
            let result = decoder.decode(block, |field| longest = longest.max(field.name.len().max(field.value.len())));
            if let Some(error) = failed {
                prop_assert_eq!(result, Err(error));
                prop_assert_eq!(longest, 0);
            }
            failed = result.err();
            // An entry, or a string of the block.
            prop_assert!(longest <= limit.max(block.len() * 8 / 5).max(29));
            prop_assert!(decoder.table_size() <= limit);
            let most_block = blocks.iter().map(Vec::len).max().unwrap_or(0);
            prop_assert!(decoder.memory() <= 5 * limit + 4 * most_block + 128, "{}", decoder.memory());
        }
    }
}
