//! The examples of RFC 7541 Appendix C, what is refused, and the tables against simple models of them.

use std::collections::VecDeque;

use proptest::{collection::vec, prelude::*};

use super::{
    dynamic_table::DynamicTable,
    static_table::{self, Found},
    *,
};

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.split_whitespace().collect::<String>().chars().collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex")).collect()
}

/// A field as a line, with `!` before those never indexed.
fn line(field: Field<'_>) -> String {
    let mark = if field.never_indexed { "!" } else { "" };
    format!("{mark}{}: {}", field.name.escape_ascii(), field.value.escape_ascii())
}

fn decode(decoder: &mut Decoder, hex: &str) -> (Vec<String>, Result<(), Error>) {
    let mut lines = Vec::new();
    let result = decoder.decode(&unhex(hex), |field| lines.push(line(field)));
    (lines, result)
}

fn table(decoder: &Decoder) -> Vec<String> {
    decoder.entries().map(|(name, value)| line(Field { name, value, never_indexed: false })).collect()
}

#[test]
fn appendix_c_2_representations() {
    let rows = [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header", 55),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "!password: secret", 0),
        ("82", ":method: GET", 0),
    ];
    for (hex, field, size) in rows {
        let mut decoder = Decoder::new(4096);
        assert_eq!(decode(&mut decoder, hex), (vec![field.to_string()], Ok(())), "{hex}");
        assert_eq!(decoder.table_size(), size, "{hex}");
    }
}

/// A block, its fields, the table after it, and the table's size.
type Step = (&'static str, &'static [&'static str], &'static [&'static str], usize);

fn check(limit: usize, steps: &[Step]) {
    let mut decoder = Decoder::new(limit);
    for (hex, fields, entries, size) in steps {
        let (lines, result) = decode(&mut decoder, hex);
        assert_eq!((lines.as_slice(), result), (fields.map_lines().as_slice(), Ok(())), "{hex}");
        assert_eq!(table(&decoder), entries.map_lines(), "after {hex}");
        assert_eq!(decoder.table_size(), *size, "after {hex}");
    }
}

trait Lines {
    fn map_lines(&self) -> Vec<String>;
}

impl Lines for &[&str] {
    fn map_lines(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

const REQUESTS: [(&[&str], &[&str], usize); 3] = [
    (
        &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
        &[":authority: www.example.com"],
        57,
    ),
    (
        &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
        &["cache-control: no-cache", ":authority: www.example.com"],
        110,
    ),
    (
        &[
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            ":authority: www.example.com",
            "custom-key: custom-value",
        ],
        &["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
        164,
    ),
];

const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const RESPONSES: [(&[&str], &[&str], usize); 3] = [
    (
        &[
            ":status: 302",
            "cache-control: private",
            "date: Mon, 21 Oct 2013 20:13:21 GMT",
            "location: https://www.example.com",
        ],
        &[
            "location: https://www.example.com",
            "date: Mon, 21 Oct 2013 20:13:21 GMT",
            "cache-control: private",
            ":status: 302",
        ],
        222,
    ),
    (
        &[
            ":status: 307",
            "cache-control: private",
            "date: Mon, 21 Oct 2013 20:13:21 GMT",
            "location: https://www.example.com",
        ],
        &[
            ":status: 307",
            "location: https://www.example.com",
            "date: Mon, 21 Oct 2013 20:13:21 GMT",
            "cache-control: private",
        ],
        222,
    ),
    (
        &[
            ":status: 200",
            "cache-control: private",
            "date: Mon, 21 Oct 2013 20:13:22 GMT",
            "location: https://www.example.com",
            "content-encoding: gzip",
            COOKIE,
        ],
        &[COOKIE, "content-encoding: gzip", "date: Mon, 21 Oct 2013 20:13:22 GMT"],
        215,
    ),
];

fn steps(
    blocks: [&'static str; 3],
    outcomes: [(&'static [&'static str], &'static [&'static str], usize); 3],
) -> Vec<Step> {
    blocks.into_iter().zip(outcomes).map(|(hex, (fields, entries, size))| (hex, fields, entries, size)).collect()
}

#[test]
fn appendix_c_3_and_c_4_requests() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    check(4096, &steps(plain, REQUESTS));
    check(4096, &steps(coded, REQUESTS));
}

#[test]
fn appendix_c_5_and_c_6_responses() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
         2076 6572 7369 6f6e 3d31",
    ];
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    check(256, &steps(plain, RESPONSES));
    check(256, &steps(coded, RESPONSES));
}

/// Appendix C.1 has the integers 10 and 1337 in five bits, which a size update has, too.
#[test]
fn appendix_c_1_integers() {
    for (size, hex) in [(10, "2a"), (1337, "3f 9a 0a"), (31, "3f 00"), (30, "3e"), (4096, "3f e1 1f")] {
        let mut out = Vec::new();
        encode::size_update(&mut out, size);
        assert_eq!(out, unhex(hex), "{size}");
        let mut decoder = Decoder::new(size);
        assert_eq!(decoder.decode(&out, |_| ()), Ok(()), "{size}");
        let mut decoder = Decoder::new(size - 1);
        assert_eq!(decoder.decode(&out, |_| ()), Err(Error::SizeUpdateTooLarge), "{size}");
    }
}

#[test]
fn blocks_are_read_strictly() {
    let rows: &[(&str, &[&str], Result<(), Error>)] = &[
        ("", &[], Ok(())),
        // Indices.
        ("80", &[], Err(Error::Index)),
        ("bd", &["www-authenticate: "], Ok(())),
        ("be", &[], Err(Error::Index)),
        ("82 be", &[":method: GET"], Err(Error::Index)),
        ("40 01 61 01 62 be", &["a: b", "a: b"], Ok(())),
        ("40 01 61 01 62 bf", &["a: b"], Err(Error::Index)),
        ("7e 01 62", &[], Err(Error::Index)),
        ("0f 2f 01 62", &[], Err(Error::Index)),
        ("1f 2e 01 62", &["!www-authenticate: b"], Ok(())),
        // Integers: as long as any u32 may be, zeros included.
        ("ff 00", &[], Err(Error::Index)),
        ("ff 80 80 80 80 00", &[], Err(Error::Index)),
        ("ff 80 80 80 80 80 00", &[], Err(Error::Integer)),
        ("ff 80 ff ff ff 0f", &[], Err(Error::Index)),
        ("ff 81 ff ff ff 0f", &[], Err(Error::Integer)),
        ("ff ff ff ff ff 7f", &[], Err(Error::Integer)),
        ("0f 80 80 80 80 00 01 62", &["accept-charset: b"], Ok(())),
        // Every place where a block can stop.
        ("ff", &[], Err(Error::Truncated)),
        ("ff 80", &[], Err(Error::Truncated)),
        ("40", &[], Err(Error::Truncated)),
        ("40 01", &[], Err(Error::Truncated)),
        ("40 01 61", &[], Err(Error::Truncated)),
        ("40 01 61 02 62", &[], Err(Error::Truncated)),
        ("04", &[], Err(Error::Truncated)),
        ("3f", &[], Err(Error::Truncated)),
        ("04 7f 80 ff ff ff 0f 61", &[], Err(Error::Truncated)),
        ("04 ff 80 ff ff ff 0f 61", &[], Err(Error::Truncated)),
        // Empty strings are strings.
        ("00 00 00", &[": "], Ok(())),
        ("00 80 80", &[": "], Ok(())),
        // Size updates.
        ("20", &[], Ok(())),
        ("20 20 82", &[":method: GET"], Ok(())),
        ("3f e1 1f 82", &[":method: GET"], Ok(())),
        ("3f e2 1f 82", &[], Err(Error::SizeUpdateTooLarge)),
        ("20 20 20 82", &[], Err(Error::SizeUpdateMisplaced)),
        ("82 20", &[":method: GET"], Err(Error::SizeUpdateMisplaced)),
        ("20 82 20", &[":method: GET"], Err(Error::SizeUpdateMisplaced)),
        // Huffman: padding of up to seven bits; of others than ones; of a byte; EOS; the longest codes; one cut short.
        ("04 81 1f", &[":path: a"], Ok(())),
        ("04 81 f8", &[":path: &"], Ok(())),
        ("04 82 f8 1f", &[":path: &a"], Ok(())),
        ("04 84 18 c6 31 ff", &[":path: aaaaa"], Ok(())),
        ("04 84 18 c6 31 fe", &[], Err(Error::HuffmanPadding)),
        ("04 82 fe 3f", &[":path: !"], Ok(())),
        ("04 81 18", &[], Err(Error::HuffmanPadding)),
        ("04 81 1e", &[], Err(Error::HuffmanPadding)),
        ("04 81 ff", &[], Err(Error::HuffmanPadding)),
        ("04 82 1f ff", &[], Err(Error::HuffmanPadding)),
        ("04 82 f8 ff", &[], Err(Error::HuffmanPadding)),
        ("04 83 ff ff ff", &[], Err(Error::HuffmanPadding)),
        ("04 84 ff ff ff ff", &[], Err(Error::HuffmanEos)),
        ("04 84 ff ff ff fc", &[], Err(Error::HuffmanEos)),
        ("04 84 ff ff ff fb", &[":path: \\x16"], Ok(())),
        ("04 86 1f ff ff ff ff 1f", &[], Err(Error::HuffmanEos)),
        ("04 83 ff fe 1f", &[":path: \\\\"], Ok(())),
        ("04 82 ff fe", &[], Err(Error::HuffmanPadding)),
    ];
    for (hex, fields, result) in rows {
        let mut decoder = Decoder::new(4096);
        assert_eq!(decode(&mut decoder, hex), (fields.map_lines(), *result), "{hex}");
        if result.is_err() {
            assert_eq!(decode(&mut decoder, "82"), (vec![], *result), "unusable after {hex}");
        }
    }
}

enum Event {
    Limit(usize),
    Block(&'static str, Result<(), Error>),
}

#[test]
fn a_lower_limit_must_be_announced() {
    use Event::{Block, Limit};
    const INSERT: &str = "40 01 61 01 62";
    const MISSING: Result<(), Error> = Err(Error::SizeUpdateMissing);
    let rows: &[(&str, &[Event])] = &[
        ("no update", &[Limit(64), Block("82", MISSING)]),
        ("an empty block begins with nothing", &[Limit(64), Block("", MISSING)]),
        ("the limit", &[Limit(64), Block("3f 21 82", Ok(()))]),
        ("less", &[Limit(64), Block("20 82", Ok(())), Block("82", Ok(()))]),
        ("more", &[Limit(64), Block("3f 22 82", Err(Error::SizeUpdateTooLarge))]),
        ("less, then the limit", &[Limit(64), Block("20 3f 21 82", Ok(()))]),
        ("down and up", &[Limit(0), Limit(4096), Block("20 3f e1 1f 82", Ok(()))]),
        ("down and up, once", &[Limit(0), Limit(4096), Block("20 82", Ok(()))]),
        ("down and up, the smallest left out", &[Limit(0), Limit(4096), Block("3f e1 1f 82", MISSING)]),
        ("down and up, in the wrong order", &[Limit(0), Limit(4096), Block("3f e1 1f 20 82", MISSING)]),
        ("down and down", &[Limit(64), Limit(32), Block("3f 21 82", Err(Error::SizeUpdateTooLarge))]),
        ("down, down, and up", &[Limit(64), Limit(32), Limit(64), Block("3f 21 82", MISSING)]),
        ("down, down, and up, announced", &[Limit(64), Limit(32), Limit(64), Block("3f 01 3f 21 82", Ok(()))]),
        ("up needs none", &[Limit(8192), Block("82", Ok(()))]),
        ("up may be used", &[Limit(8192), Block("3f e1 3f 82", Ok(()))]),
        ("the size in force is below already", &[Block("20 82", Ok(())), Limit(64), Block("82", Ok(()))]),
        ("an update is due once", &[Limit(64), Block("3f 21 82", Ok(())), Block("82", Ok(()))]),
        ("entries go", &[Block(INSERT, Ok(())), Limit(33), Block("3f 02 be", Err(Error::Index))]),
        ("entries stay", &[Block(INSERT, Ok(())), Limit(34), Block("3f 03 be", Ok(()))]),
        ("entries go by an update", &[Block(INSERT, Ok(())), Block("20 3f e1 1f be", Err(Error::Index))]),
    ];
    for (name, events) in rows {
        let mut decoder = Decoder::new(4096);
        for event in *events {
            match event {
                Limit(limit) => decoder.set_limit(*limit),
                Block(hex, result) => assert_eq!(decode(&mut decoder, hex).1, *result, "{name}: {hex}"),
            }
        }
    }
}

#[test]
fn memory_is_held_only_while_it_is_needed() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, "82 84 04 01 61").1, Ok(()));
    assert_eq!(decoder.memory(), 0, "nothing was inserted");
    assert_eq!(decode(&mut decoder, "04 ff 80 ff ff ff 0f 61").1, Err(Error::Truncated));
    assert_eq!(decoder.memory(), 0, "the string is not there");

    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, "40 01 61 01 62").1, Ok(()));
    assert!(decoder.memory() > 0);
    decoder.set_limit(0);
    assert_eq!(decoder.memory(), 0, "the table is gone");

    let mut long = vec![0x04, 0xff, 0x82, 0x7f];
    long.resize(4 + 16_385, 0);
    let mut decoder = Decoder::new(4096);
    let mut length = 0;
    assert_eq!(decoder.decode(&long, |field| length = field.value.len()), Ok(()));
    assert_eq!(length, 16_385 * 8 / 5, "the letter with the shortest code");
    assert_eq!(decoder.memory(), 0, "so much scratch space is not kept");
}

#[test]
fn an_insertion_may_evict_its_own_name() {
    // Room for one entry; the second takes its name from the first.
    check(
        40,
        &[
            ("40 04 6e61 6d65 01 61", &["name: a"], &["name: a"], 37),
            ("7e 04 6262 6262", &["name: bbbb"], &["name: bbbb"], 40),
            ("7e 05 6363 6363 63", &["name: ccccc"], &[], 0),
        ],
    );
}

#[test]
fn the_static_table_is_searched_right() {
    for (place, (name, value)) in static_table::FIELDS.iter().enumerate() {
        assert_eq!(static_table::find(name, value), Some(Found::Field(place + 1)));
        let first = static_table::FIELDS.iter().position(|field| field.0 == *name).expect("itself") + 1;
        assert_eq!(static_table::find(name, b"other"), Some(Found::Name(first)));
    }
    for name in ["", "x", "Host", "hosu", "access-control-allow-headers", "access-control-allow-origio"] {
        assert_eq!(static_table::find(name.as_bytes(), b""), None, "{name}");
    }
}

#[test]
fn fields_are_encoded_without_the_dynamic_table() {
    let rows = [
        (":method", "GET", false, "82"),
        (":method", "GET", true, "12 03 474554"),
        (":method", "PUT", false, "02 03 505554"),
        (":status", "500", false, "8e"),
        (":status", "501", false, "08 03 353031"),
        ("accept-encoding", "gzip, deflate", false, "90"),
        ("content-type", "", false, "9f"),
        ("authorization", "x", true, "1f 08 01 78"),
        ("www-authenticate", "x", false, "0f 2e 01 78"),
        ("te", "trailers", false, "00 02 7465 08 747261696c657273"),
        ("te", "", true, "10 02 7465 00"),
    ];
    for (name, value, never_indexed, hex) in rows {
        let mut out = Vec::new();
        encode::literal(&mut out, name.as_bytes(), value.as_bytes(), never_indexed);
        assert_eq!(out, unhex(hex), "{name}: {value}");
    }
}

/// Does to a table what [`DynamicTable`] does, in the simplest way.
#[derive(Default)]
struct Model {
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    capacity: usize,
}

impl Model {
    fn size(&self) -> usize {
        self.entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    fn change(&mut self, capacity: usize, new: Option<(Vec<u8>, Vec<u8>)>) {
        self.capacity = capacity;
        self.entries.extend(new);
        while self.size() > self.capacity {
            self.entries.pop_front();
        }
    }
}

proptest! {
    #[test]
    fn the_dynamic_table_is_a_bounded_queue(
        changes in vec(
            prop_oneof![
                9 => (vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..120)).prop_map(Ok),
                1 => (0..1000_usize).prop_map(Err),
            ],
            0..200,
        ),
    ) {
        let mut table = DynamicTable::new(500);
        let mut model = Model { capacity: 500, ..Model::default() };
        for change in changes {
            match change {
                Ok((name, value)) => {
                    table.insert(&name, &value);
                    model.change(model.capacity, Some((name, value)));
                }
                Err(capacity) => {
                    table.set_capacity(capacity);
                    model.change(capacity, None);
                }
            }
            table.check_invariants();
            prop_assert_eq!(table.size(), model.size());
            let expected: Vec<(&[u8], &[u8])> =
                model.entries.iter().rev().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
            prop_assert_eq!(table.entries().collect::<Vec<_>>(), expected.clone());
            for (index, entry) in expected.iter().enumerate() {
                prop_assert_eq!(table.get(index), Some(*entry));
            }
            prop_assert_eq!(table.get(expected.len()), None);
            prop_assert!(table.memory() <= 5 * 1000 + 64, "{}", table.memory());
        }
    }
}
