//! The HPACK decoder and encoder: a sequence of header blocks, and of limits between them.
//!
//! Each step of the input is a byte and what belongs to it: 0xff and two bytes set the limit, 0xfe and two bytes are the
//! length of a block, anything less is the length itself.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use weir_filters::hpack::{Decoder, encode};

type Owned = (Vec<u8>, Vec<u8>, bool);

fuzz_target!(|data: &[u8]| -> Corpus {
    let mut decoder = Decoder::new(4_096);
    let mut limit = 4_096;
    let mut rest = data;
    while let Some((&step, behind)) = rest.split_first() {
        rest = behind;
        let number = |rest: &mut &[u8]| {
            let (&[high, low], behind) = rest.split_first_chunk::<2>()?;
            *rest = behind;
            Some(usize::from(u16::from_be_bytes([high, low])))
        };
        let length = match step {
            0xff => {
                let Some(size) = number(&mut rest) else { break };
                limit = size;
                decoder.set_limit(size);
                assert!(decoder.table_size() <= size);
                continue;
            }
            0xfe => number(&mut rest),
            length => Some(usize::from(length)),
        };
        let Some(length) = length else { break };
        let (block, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        let (fields, result) = decode(&mut decoder, block);
        assert!(decoder.table_size() <= limit, "{} of {limit}", decoder.table_size());
        assert!(decoder.memory() <= 5 * limit + 4 * block.len() + 8_192, "{} bytes", decoder.memory());
        if result.is_err() {
            assert_eq!(decode(&mut decoder, &[0x82]), (Vec::new(), result), "usable after an error");
            break;
        }
        assert_eq!(decoder.owed(), None);
        again(&fields);
    }
    Corpus::Keep
});

fn decode(decoder: &mut Decoder, block: &[u8]) -> (Vec<Owned>, Result<(), weir_filters::hpack::Error>) {
    let mut fields = Vec::new();
    let result = decoder.decode(block, |field| {
        fields.push((field.name.to_vec(), field.value.to_vec(), field.never_indexed));
    });
    (fields, result)
}

/// What is written anew says the same, whatever table its reader has.
fn again(fields: &[Owned]) {
    let mut block = Vec::new();
    encode::size_update(&mut block, 0);
    fields.iter().for_each(|(name, value, never)| encode::literal(&mut block, name, value, *never));
    let mut fresh = Decoder::new(0);
    assert_eq!(decode(&mut fresh, &block), (fields.to_vec(), Ok(())));
    assert_eq!(fresh.table_size(), 0, "nothing goes into the table");
}
