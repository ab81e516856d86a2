//! Sequences of blocks, written by one implementation and read by another.

use httlib_hpack::Encoder;
use proptest::{collection::vec, prelude::*};
use weir_filters::hpack::{Decoder, encode};

use crate::{Owned, decode};

#[derive(Clone, Debug)]
enum Step {
    /// Fields, and how each is to be encoded.
    Block(Vec<(Vec<u8>, Vec<u8>, u8)>),
    /// Changes of the limit between two blocks.
    Limits(Vec<u16>),
}

/// Few enough to be met again, next to any.
pub(crate) fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop_oneof![Just(":path"), Just(":status"), Just("cookie"), Just("x-a"), Just("x-b"), Just("")]
            .prop_map(|name| name.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..300),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => prop_oneof![Just("/"), Just("200"), Just("a"), Just("")].prop_map(|value| value.as_bytes().to_vec()),
        2 => "[ -~]{0,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..300),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // Strings plain or coded; inserted, never indexed or neither; by index if there is one.
    let flags = (any::<bool>(), any::<bool>(), 0..3_usize, any::<bool>()).prop_map(|(name, value, index, best)| {
        let indexing = [0, Encoder::WITH_INDEXING, Encoder::NEVER_INDEXED][index];
        let chosen = [(name, Encoder::HUFFMAN_NAME), (value, Encoder::HUFFMAN_VALUE), (best, Encoder::BEST_FORMAT)];
        chosen.into_iter().filter(|(chosen, _)| *chosen).fold(indexing, |flags, (_, flag)| flags | flag)
    });
    prop_oneof![
        5 => vec((name(), value(), flags), 0..12).prop_map(Step::Block),
        1 => vec(prop_oneof![Just(0), Just(4096), 0..600_u16], 1..4).prop_map(Step::Limits),
    ]
}

proptest! {
    #[test]
    fn blocks_of_another_encoder_are_read(steps in vec(step(), 0..30)) {
        let mut encoder = Encoder::with_dynamic_size(4096);
        let mut decoder = Decoder::new(4096);
        let mut limits: Vec<u16> = Vec::new();
        for step in steps {
            match step {
                Step::Limits(changes) => {
                    changes.iter().for_each(|limit| decoder.set_limit(usize::from(*limit)));
                    limits.extend(changes);
                }
                Step::Block(fields) => {
                    let mut block = Vec::new();
                    // The smallest limit, then the one in force (RFC 7541 section 4.2).
                    if let (Some(least), Some(last)) = (limits.iter().min(), limits.last()) {
                        encoder.update_max_dynamic_size(u32::from(*least), &mut block).expect("a size");
                        encoder.update_max_dynamic_size(u32::from(*last), &mut block).expect("a size");
                    }
                    limits.clear();
                    let mut expected: Vec<Owned> = Vec::new();
                    for (name, value, flags) in fields {
                        let before = block.len();
                        encoder.encode((name.clone(), value.clone(), flags), &mut block).expect("a field");
                        // Its best format is an index even for a field that is never to be indexed.
                        let never_indexed = flags & Encoder::NEVER_INDEXED != 0 && block[before] & 0x80 == 0;
                        expected.push((name, value, never_indexed));
                    }
                    prop_assert_eq!(decode(&mut decoder, &block), Ok(expected));
                }
            }
        }
    }

    #[test]
    fn blocks_are_written_as_another_decoder_reads_them(fields in vec((name(), value(), any::<bool>()), 0..12)) {
        let mut block = Vec::new();
        fields.iter().for_each(|(name, value, never)| encode::literal(&mut block, name, value, *never));
        let mut decoded = Vec::new();
        httlib_hpack::Decoder::default().decode(&mut block, &mut decoded).expect("a block");
        let decoded: Vec<Owned> = decoded
            .into_iter()
            .map(|(name, value, flags)| (name, value, flags & httlib_hpack::Decoder::NEVER_INDEXED != 0))
            .collect();
        prop_assert_eq!(decoded, fields);
    }
}
