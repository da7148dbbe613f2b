//! What is kept of a download, and which files are refused.

use super::*;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn binding(etag: &str) -> Binding {
    Binding { etag: etag.to_owned(), size: 100, extent: Extent { first: 0, length: 100 } }
}

struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene { folder: tempfile::tempdir().unwrap() }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("x")
    }

    fn partial(&self) -> PathBuf {
        self.folder.path().join(".x.ocipipe-part")
    }

    fn open(&self, etag: &str) -> Result<PartialFile, Error> {
        PartialFile::open(&self.target(), binding(etag))
    }

    fn names(&self) -> Vec<OsString> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }
}

#[test]
fn what_is_complete_is_kept_and_continued_and_becomes_the_target() {
    let scene = Scene::new();
    let mut seen = Vec::new();
    let mut partial = scene.open("e").unwrap();
    partial.append(&[1; 30], 7, |piece| seen.push(piece.len())).unwrap();
    partial.append(&[2; 20], 100, |_| ()).unwrap();
    assert_eq!(seen, [7, 7, 7, 7, 2]);
    drop(partial);
    let stored = std::fs::metadata(scene.partial()).unwrap();
    assert_eq!(stored.mode() & 0o7777, 0o600);
    let mut partial = scene.open("e").unwrap();
    assert_eq!(partial.kept(), 50);
    let mut bytes = [0; 50];
    partial.read_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [[1; 30].as_slice(), &[2; 20]].concat().as_slice());
    assert_eq!(partial.crc(), crc32fast::hash(&bytes));
    partial.append(&[3; 50], 100, |_| ()).unwrap();
    partial.finish().unwrap();
    let whole = [[1; 30].as_slice(), &[2; 20], &[3; 50]].concat();
    assert_eq!(std::fs::read(scene.target()).unwrap(), whole);
    assert_eq!(scene.names(), ["x"]);
}

#[test]
fn a_complete_file_that_cannot_become_the_target_is_kept_for_the_next_run() {
    let scene = Scene::new();
    let mut partial = scene.open("e").unwrap();
    partial.append(&[1; 100], 100, |_| ()).unwrap();
    std::fs::create_dir(scene.target()).unwrap();
    partial.finish().unwrap_err();
    std::fs::remove_dir(scene.target()).unwrap();
    let partial = scene.open("e").unwrap();
    assert_eq!(partial.kept(), 100);
    partial.finish().unwrap();
    assert_eq!(std::fs::read(scene.target()).unwrap(), [1; 100]);
}

/// The kernel reports an error of the disk once, and shows the bytes that it has lost until they leave memory.
#[test]
fn nothing_is_kept_of_a_file_that_could_not_be_written_to_the_disk() {
    let scene = Scene::new();
    let mut partial = scene.open("e").unwrap();
    partial.append(&[1; 100], 100, |_| ()).unwrap();
    let flags = rustix::fs::OFlags::PATH;
    let without_sync = rustix::fs::open(scene.partial(), flags, rustix::fs::Mode::empty()).unwrap();
    partial.file = File::from(without_sync);
    partial.finish().unwrap_err();
    assert_eq!(scene.names(), Vec::<OsString>::new());
}

#[test]
fn a_run_that_was_killed_between_two_system_calls_is_continued_from_what_is_complete() {
    let scene = Scene::new();
    let mut partial = scene.open("e").unwrap();
    partial.append(&[1; 30], 100, |_| ()).unwrap();
    // The first half of `append`: the new trailer, and some of the bytes.
    partial.file.write_all_at(&partial.trailer().to_bytes(), 60).unwrap();
    drop(partial);
    assert_eq!(scene.open("e").unwrap().kept(), 30);
    File::options().write(true).open(scene.partial()).unwrap().write_all_at(&[9; 20], 30).unwrap();
    assert_eq!(scene.open("e").unwrap().kept(), 30);
}

#[test]
fn what_belongs_to_another_object_or_is_no_partial_file_is_not_continued() {
    let scene = Scene::new();
    let begin = |bytes: &[u8]| {
        let mut partial = scene.open("e").unwrap();
        partial.restart().unwrap();
        partial.append(bytes, 100, |_| ()).unwrap();
    };
    begin(&[1; 30]);
    assert_eq!(scene.open("f").unwrap().kept(), 0);
    begin(&[1; 30]);
    let extent = Extent { first: 1, length: 99 };
    let other = Binding { extent, ..binding("e") };
    assert_eq!(PartialFile::open(&scene.target(), other).unwrap().kept(), 0);
    begin(&[1; 30]);
    let file = File::options().write(true).open(scene.partial()).unwrap();
    // A byte of the trailer, and a truncated one.
    file.write_all_at(&[7], 40).unwrap();
    assert_eq!(scene.open("e").unwrap().kept(), 0);
    begin(&[1; 30]);
    let length = std::fs::metadata(scene.partial()).unwrap().len();
    File::options().write(true).open(scene.partial()).unwrap().set_len(length - 1).unwrap();
    assert_eq!(scene.open("e").unwrap().kept(), 0);
    for garbage in [&b""[..], b"short", &[b'x'; 5000]] {
        std::fs::write(scene.partial(), garbage).unwrap();
        assert_eq!(scene.open("e").unwrap().kept(), 0);
    }
    assert_eq!(scene.names(), Vec::<OsString>::new(), "a file without a byte is removed");
}

#[test]
fn a_second_run_a_link_and_a_file_of_several_names_are_refused() {
    let scene = Scene::new();
    let first = scene.open("e").unwrap();
    let error = scene.open("e").err().unwrap();
    assert!(error.message.contains("another run is writing"), "{error}");
    assert_eq!(error.kind.exit_code(), 2);
    drop(first);
    let victim = scene.folder.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    symlink(&victim, scene.partial()).unwrap();
    assert!(scene.open("e").err().unwrap().message.ends_with("is a link"));
    std::fs::remove_file(scene.partial()).unwrap();
    std::fs::hard_link(&victim, scene.partial()).unwrap();
    assert!(scene.open("e").err().unwrap().message.ends_with("more than one name"));
    std::fs::remove_file(scene.partial()).unwrap();
    std::fs::create_dir(scene.partial()).unwrap();
    assert!(scene.open("e").err().unwrap().message.ends_with("not a plain file"));
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_name_that_would_be_too_long_is_shortened_and_stays_its_own() {
    let long = |last: char| PathBuf::from(format!("{}{last}", "n".repeat(254)));
    let [one, other] = ['a', 'b'].map(|last| path_of(&long(last)));
    assert_ne!(one, other);
    assert_eq!(one.file_name().unwrap().len(), 255);
    assert_eq!(path_of(Path::new("/a/b")), Path::new("/a/.b.ocipipe-part"));
}
