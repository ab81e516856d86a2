//! The HPACK codec through its public interface: against other implementations, and properties of any bytes.

mod properties;
mod recorded;
mod reference;

use weir_filters::hpack::{Decoder, Error};

/// A field of a block: name, value, and whether it is never indexed.
type Owned = (Vec<u8>, Vec<u8>, bool);

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Owned>, Error> {
    let mut fields = Vec::new();
    decoder.decode(block, |field| fields.push((field.name.to_vec(), field.value.to_vec(), field.never_indexed)))?;
    Ok(fields)
}
