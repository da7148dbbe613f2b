//! Whole files of real producers: each is accepted, and no cut of it, but for those at which the reader of
//! the format sees a whole file too.
//!
//! Owns the folder of files (`OCIPIPE_VALIDATE_FILES`, which `tests/validators/run` makes), the cuts, and the
//! rule for each format of a cut that may be accepted. Must not know how a format is validated. Invariant: each byte of
//! the last 64 KiB of a file is a cut.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::chunk_parser::ChunkParser;
use super::decode_thread::MemberDecoder;
use super::*;

/// Bytes at the end of a file of which each is a cut.
const LAST: usize = 64 << 10;

/// Cuts at random places before the last bytes.
const RANDOM: usize = 1000;

/// A validator that shows at each cut whether the stream may end there, so that a file is passed once for all of its
/// cuts.
trait Endable: Validator {
    fn may_end(&self) -> bool;
}

impl<P: ChunkParser + Clone + 'static> Endable for ChunkDriver<P> {
    fn may_end(&self) -> bool {
        Box::new(self.clone()).end().is_ok()
    }
}

impl Endable for zip::Zip {
    fn may_end(&self) -> bool {
        self.check_end().is_ok()
    }
}

impl Endable for sql::Sql {
    fn may_end(&self) -> bool {
        self.check_end().is_ok()
    }
}

/// How the cuts of a format are tried in one pass.
enum Pass {
    Validator(Box<dyn Endable>),
    Decoder(MemberDecoder),
}

fn pass(format: Format) -> Pass {
    fn chunked<P: ChunkParser + Clone + Default + 'static>() -> Pass {
        Pass::Validator(Box::new(ChunkDriver::new(P::default())))
    }
    match format {
        Format::Tar => chunked::<tar::Tar>(),
        Format::Zstd => chunked::<zstd::Zstd>(),
        Format::Xz => chunked::<xz::Xz>(),
        Format::PgDump => chunked::<pgdump::PgDump>(),
        Format::Zip => Pass::Validator(Box::new(zip::Zip::default())),
        Format::Sql => Pass::Validator(Box::new(sql::Sql::default())),
        Format::Gzip => Pass::Decoder(gzip::member),
        Format::Bzip2 => Pass::Decoder(bzip2::member),
    }
}

fn accepts(format: Format, bytes: &[u8]) -> Result<(), Rejection> {
    let mut validator = validator_for(format).unwrap();
    for piece in bytes.chunks(10_007) {
        validator.bytes(piece)?;
    }
    validator.end().map(|_| ())
}

fn warning(bytes: &[u8]) -> Option<String> {
    let mut validator = detecting_validator();
    bytes.chunks(10_007).for_each(|piece| validator.bytes(piece).unwrap());
    validator.end().unwrap()
}

/// The cuts of a file of this size, ascending; the numbers are the same in each run.
fn cuts(size: usize) -> Vec<usize> {
    let first = size.saturating_sub(LAST);
    let mut random = 0x9e37_79b9_7f4a_7c15u64 ^ size as u64;
    let mut cuts: Vec<usize> = (first..size).collect();
    for _ in 0..RANDOM.min(first) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        cuts.push(random as usize % first);
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// The cuts at which the validator accepts the file.
fn accepted(format: Format, bytes: &[u8], cuts: &[usize]) -> Vec<usize> {
    let mut validator = match pass(format) {
        Pass::Validator(validator) => validator,
        Pass::Decoder(member) => return forked_cuts::accepted(member, bytes, cuts),
    };
    let (mut accepted, mut at) = (Vec::new(), 0);
    for cut in cuts {
        validator.bytes(&bytes[at..*cut]).unwrap();
        at = *cut;
        // `Required` refuses the empty stream for all formats.
        if validator.may_end() && at > 0 {
            accepted.push(at);
        }
    }
    accepted
}

/// Whether a program exits with 0 when it reads these bytes from stdin.
fn reader_accepts(argv: &[&str], bytes: &[u8]) -> bool {
    let mut child = Command::new(argv[0])
        .args(&argv[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", argv[0]));
    // A reader that has seen enough closes its end.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    child.wait().unwrap().success()
}

/// Whether the documentation names this cut: the rest is a whole member, padding, or a comment.
fn documented(format: Format, bytes: &[u8], cut: usize) -> bool {
    let (kept, lost) = bytes.split_at(cut);
    match format {
        // The original program decides where a member ends.
        Format::Gzip => reader_accepts(&["gzip", "-tq"], kept),
        Format::Bzip2 => reader_accepts(&["bzip2", "-tq"], kept),
        Format::Zstd => reader_accepts(&["zstd", "-tq", "--long=31", "--no-check"], kept),
        Format::Xz => reader_accepts(&["xz", "-tq"], kept),
        // Two blocks of zeros are there, and zeros or a further archive were lost.
        Format::Tar => {
            let zeros = kept.iter().rev().take_while(|byte| **byte == 0).count();
            let joined = lost.iter().any(|byte| *byte != 0);
            zeros >= 1024 && (!joined || cut.is_multiple_of(512) && lost_is_archive(lost))
        }
        Format::Sql => {
            let line = |line: &[u8]| {
                line.is_empty() || line.starts_with(b"--") || line.starts_with(b"\\unrestrict ")
            };
            let lost_start = kept.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            bytes[lost_start..].split(|byte| *byte == b'\n').all(|text| line(text.trim_ascii()))
        }
        // The second table of contents, which begins as the first one does, was lost.
        Format::PgDump => kept.windows(40).any(|window| lost.starts_with(window)),
        Format::Zip => false,
    }
}

/// Whether an archive follows the padding.
fn lost_is_archive(lost: &[u8]) -> bool {
    let padding = lost.iter().take_while(|byte| **byte == 0).count() / 512 * 512;
    accepts(Format::Tar, &lost[padding..]).is_ok()
}

/// What happened to the files of one producer.
#[derive(Default)]
struct Row {
    files: usize,
    cuts: usize,
    /// Cuts that were accepted, which the documentation names.
    documented: usize,
    faults: Vec<String>,
}

impl Row {
    fn add(&mut self, other: Row) {
        self.files += other.files;
        self.cuts += other.cuts;
        self.documented += other.documented;
        self.faults.extend(other.faults);
    }

    /// Passes a file, and its cuts, to the validators.
    fn check(&mut self, format: Format, name: &str, bytes: &[u8]) {
        self.files += 1;
        if let Err(refusal) = accepts(format, bytes) {
            self.faults.push(format!("{name} is refused: {refusal}"));
            return;
        }
        if let Some(warning) = warning(bytes) {
            self.faults.push(format!("{name} gets a warning: {warning}"));
        }
        let cuts = cuts(bytes.len());
        self.cuts += cuts.len();
        let accepted = accepted(format, bytes, &cuts);
        for cut in &accepted {
            match documented(format, bytes, *cut) {
                true => self.documented += 1,
                false => self.faults.push(format!("{name} of {} is whole at {cut}", bytes.len())),
            }
        }
        self.check_detection(format, name, bytes, &cuts, &accepted);
    }

    /// Without the option a cut gets a warning if and only if it is rejected with it. gzip is not detected, bzip2
    /// by its end mark alone.
    fn check_detection(
        &mut self,
        format: Format,
        name: &str,
        bytes: &[u8],
        cuts: &[usize],
        accepted: &[usize],
    ) {
        if detect::begins_as(&bytes[..bytes.len().min(detect::HEAD_SIZE)]) != Some(format) {
            return;
        }
        let some =
            cuts.iter().step_by(1 + cuts.len() / 50).filter(|cut| **cut >= detect::HEAD_SIZE);
        for cut in some.chain(accepted) {
            let rejected = accepted.binary_search(cut).is_err();
            let warned = warning(&bytes[..*cut]).is_some();
            let right = match format {
                Format::Gzip => !warned,
                _ => warned == rejected,
            };
            if !right {
                self.faults
                    .push(format!("{name}: warning at {cut}: {warned}, rejected: {rejected}"));
            }
        }
    }
}

/// The files of a folder and its folders, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let within = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.into_iter().flat_map(within).collect()
}

/// A file of `SYSTEM/FORMAT/PRODUCER.VARIANT`.
struct Labelled {
    path: PathBuf,
    format: Format,
    label: String,
    /// Format, producer and system.
    row: [String; 3],
}

impl Labelled {
    /// `None` for a file that is in no folder of a format.
    fn of(path: PathBuf) -> Option<Labelled> {
        let words: Vec<&str> =
            path.iter().rev().take(3).map(|word| word.to_str().unwrap()).collect();
        let [name, folder, system] = words[..] else { return None };
        let format = Format::ALL.into_iter().find(|format| format.option() == folder)?;
        let producer = name.split('.').next().unwrap_or(name);
        let label = format!("{system}/{folder}/{name}");
        let row = [folder, producer, system].map(str::to_owned);
        Some(Labelled { path, format, label, row })
    }
}

/// A small part, with the samples of the repository. Those of several members are in `tests/validate.rs`.
#[test]
fn a_sample_of_a_real_producer_is_whole_and_each_cut_is_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/expect");
    let mut row = Row::default();
    for path in files(&folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let format = match name.rsplit_once('.') {
            _ if name.starts_with("joined") || name.starts_with("padded") => continue,
            Some((_, "gz")) => Format::Gzip,
            Some((_, "zst")) => Format::Zstd,
            Some((_, "bz2")) => Format::Bzip2,
            Some((_, other)) => Format::ALL.into_iter().find(|f| f.option() == other).unwrap(),
            None => continue,
        };
        row.check(format, name, &std::fs::read(&path).unwrap());
    }
    assert!(
        row.files > 45 && row.cuts > 100_000 && row.documented > 0,
        "{} {}",
        row.files,
        row.cuts
    );
    assert!(row.faults.is_empty(), "{:#?}", row.faults);
}

#[test]
#[ignore = "takes minutes, and files that tests/validators/run makes"]
fn a_file_of_a_real_producer_is_whole_and_each_cut_is_not() {
    let folder = std::env::var_os("OCIPIPE_VALIDATE_FILES").expect("the folder of the files");
    let only = std::env::var("OCIPIPE_VALIDATE_ONLY").unwrap_or_default();
    let files: Vec<Labelled> = files(Path::new(&folder))
        .into_iter()
        .filter_map(Labelled::of)
        .filter(|file| file.label.contains(&only))
        .collect();
    let rows: Mutex<BTreeMap<[String; 3], Row>> = Mutex::default();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut row = Row::default();
            row.check(file.format, &file.label, &std::fs::read(&file.path).unwrap());
            rows.lock().unwrap().entry(file.row.clone()).or_default().add(row);
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| {
            scope.spawn(work);
        });
    });
    let mut faults = Vec::new();
    println!("| Format | Producer | System | Files | Cuts | Whole, as documented | Faults |");
    println!("|---|---|---|---|---|---|---|");
    for ([format, producer, system], row) in rows.into_inner().unwrap() {
        let Row { files, cuts, documented, .. } = row;
        let wrong = row.faults.len();
        println!(
            "| {format} | {producer} | {system} | {files} | {cuts} | {documented} | {wrong} |"
        );
        faults.extend(row.faults.into_iter().take(3));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
