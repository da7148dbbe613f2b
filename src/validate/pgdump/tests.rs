use super::super::Validator;
use super::super::chunk_parser::ChunkDriver;
use super::*;

fn validate(bytes: &[u8]) -> Result<(), FormatError> {
    let mut driver = Box::new(ChunkDriver::new(PgDump::default()));
    driver.bytes(bytes)?;
    driver.end()
}

struct Archive(Vec<u8>);

impl Archive {
    fn int(&mut self, value: i32) {
        self.0.push(u8::from(value < 0));
        self.0.extend(value.unsigned_abs().to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.int(text.len() as i32);
        self.0.extend(text.bytes());
    }

    fn texts(&mut self, texts: &[&str]) {
        texts.iter().for_each(|text| self.text(text));
    }

    /// A header, and entries each with an id and whether it has data.
    fn of(version: u8, entries: &[(i32, bool)]) -> Archive {
        let mut archive = Archive(b"PGDMP".to_vec());
        archive.0.extend([1, version, 0, 4, 8, 1]);
        match version {
            15.. => archive.0.push(1),
            _ => archive.int(-1),
        }
        (0..7).for_each(|time| archive.int(time));
        archive.texts(&["base", "15.1", "15.1"]);
        archive.int(entries.len() as i32);
        for (id, data) in entries {
            archive.int(*id);
            archive.int(i32::from(*data));
            archive.texts(&["1259", "16400", "tag", "TABLE"]);
            archive.int(2);
            archive.texts(&["create", "drop"]);
            archive.int(-1);
            archive.texts(&["public", ""]);
            if version >= 14 {
                archive.text("heap");
            }
            if version >= 16 {
                archive.int(114);
            }
            archive.texts(&["owner", "false"]);
            if *id != 7 {
                archive.texts(&["7", "12"]);
            }
            archive.int(-1);
            archive.0.push(if *data { 1 } else { 3 });
            archive.0.extend([0; 8]);
        }
        archive
    }

    /// The same archive with a second table of contents at its end, of these entries.
    fn with_table(mut self, version: u8, entries: &[(i32, bool)]) -> Archive {
        let head = Archive::of(version, &[]).0.len() - 5;
        self.0.extend(&Archive::of(version, entries).0[head..]);
        self
    }

    fn block(mut self, id: i32, chunks: &[&str]) -> Archive {
        self.0.push(DATA);
        self.int(id);
        self.texts(chunks);
        self.int(0);
        self
    }

    fn large_objects(mut self, id: i32, objects: &[&str]) -> Archive {
        self.0.push(LARGE_OBJECTS);
        self.int(id);
        for object in objects {
            // Ids above 2^31 are written as negative numbers.
            self.int(-5);
            self.text(object);
            self.int(0);
        }
        self.int(0);
        self
    }
}

const ENTRIES: [(i32, bool); 4] = [(1, false), (300, true), (7, false), (20, true)];

#[test]
fn every_version_is_parsed_and_no_truncation_of_it_is_whole() {
    for version in 12..=16 {
        let archive = Archive::of(version, &ENTRIES);
        let archive = archive.block(300, &["some", "data"]).large_objects(20, &["a", "bc"]).0;
        assert_eq!(validate(&archive), Ok(()), "1.{version}");
        for cut in 0..archive.len() {
            assert!(validate(&archive[..cut]).is_err(), "1.{version} cut at {cut}");
        }
    }
}

#[test]
fn blocks_are_those_of_the_table_of_contents() {
    let archive = || Archive::of(14, &ENTRIES).block(20, &[]);
    assert_eq!(validate(&archive().block(300, &["x"]).0), Ok(()));
    let more = archive().block(300, &["x"]).block(7, &["x"]);
    for (archive, reason, what) in [
        (archive(), "it has 1 of 2 blocks of data", "one is missing"),
        (archive().block(301, &["x"]), "its data is not that of", "a foreign one"),
        (archive().block(20, &["x"]), "its data is not that of", "one twice"),
        (more, "its data is not that of", "one of an entry without data"),
    ] {
        let error = format!("{:?}", validate(&archive.0).unwrap_err());
        assert!(error.contains(reason), "{what}: {error}");
    }
    assert_eq!(validate(&Archive::of(14, &[(1, false)]).0), Ok(()));
}

#[test]
fn a_second_table_of_contents_is_that_of_pg_dump_17_with_a_file_as_stdout() {
    for version in 12..=16 {
        let one = Archive::of(version, &ENTRIES).block(300, &["x"]).block(20, &["y"]);
        let whole = one.0.len();
        let two = one.with_table(version, &ENTRIES).0;
        assert_eq!(validate(&two), Ok(()), "1.{version}");
        for cut in (0..two.len()).filter(|cut| *cut != whole) {
            assert!(validate(&two[..cut]).is_err(), "1.{version} cut at {cut}");
        }
        assert!(validate(&[&two[..], b"\0"].concat()).is_err(), "1.{version} and a byte");
        let fewer = [(1, false), (300, true), (7, false), (20, false)];
        let differs = Archive::of(version, &ENTRIES).block(300, &["x"]).block(20, &["y"]);
        assert!(validate(&differs.with_table(version, &fewer).0).is_err(), "1.{version} differs");
        let missing = Archive::of(version, &ENTRIES).block(300, &["x"]);
        assert!(validate(&missing.with_table(version, &ENTRIES).0).is_err(), "1.{version} missing");
    }
}

fn ids(some: &[i64]) -> Ids {
    let mut ids = Ids::default();
    some.iter().for_each(|id| ids.add(*id));
    ids
}

#[test]
fn a_second_table_of_contents_has_as_many_entries_as_the_first() {
    let with = |count, found| {
        let found = if found { ids(&[1, 2]) } else { ids(&[1]) };
        PgDump { count, expected: ids(&[1, 2]), found, int_size: 4, ..PgDump::default() }
    };
    // The sign, the number, and the sign of an id.
    assert!(with(3, true).is_second_table(&[0, 3, 0, 0, 0, 0]));
    assert!(!with(3, false).is_second_table(&[0, 3, 0, 0, 0, 0]), "a block is missing");
    assert!(!with(3, true).is_second_table(&[0, 4, 0, 0, 0, 0]), "another number");
    assert!(!with(3, true).is_second_table(&[1, 3, 0, 0, 0, 0]), "a negative number");
    assert!(!with(0, true).is_second_table(&[0, 0, 0, 0, 0, 0]), "no entry");
}

#[test]
fn sets_of_ids_are_equal_whatever_their_order_and_differ_in_any_id() {
    assert!(ids(&[1, 2, 3]) == ids(&[3, 1, 2]));
    // Sums of ids, of their squares, and of what differs in one high or low bit.
    for other in
        [[1, 2, 4], [0, 3, 3], [2, 2, 2], [1, 2, 3 + (1 << 40)], [1 << 62, 2, 3 - (1 << 62)]]
    {
        assert!(ids(&[1, 2, 3]) != ids(&other), "{other:?}");
    }
    assert!(ids(&[1, 5, 8, 12]) != ids(&[2, 3, 10, 11]));
}
