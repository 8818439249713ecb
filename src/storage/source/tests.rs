use super::*;
use crate::storage::testing::{TestRoot, wire};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn reading_fills_the_buffer_up_to_the_end() {
    let place = TestRoot::new();
    place.write("a", b"0123456789");
    let source = place.root.open_source(&wire("a")).unwrap();
    let mut buf = [0; 6];
    assert_eq!(source.read_at(&mut buf, 0).unwrap(), 6);
    assert_eq!(&buf, b"012345");
    assert_eq!(source.read_at(&mut buf, 7).unwrap(), 3);
    assert_eq!(&buf[..3], b"789");
    assert_eq!(source.read_at(&mut buf, 10).unwrap(), 0);
    assert_eq!(source.read_at(&mut buf, 1 << 40).unwrap(), 0);
}

#[test]
fn a_file_is_read_whole_and_found_to_end_there_or_not() {
    let place = TestRoot::new();
    for content in [&b""[..], b"0123456789"] {
        place.write("a", content);
        let source = place.root.open_source(&wire("a")).unwrap();
        let unknown = Source::new(File::open(place.path("a")).unwrap(), &place.path("a")).unwrap();
        let _ = unknown.file_system.set(FileSystem::UNKNOWN);
        for source in [source, unknown] {
            let mut whole = vec![0; content.len()];
            assert_eq!(source.read_to_end(&mut whole).unwrap(), content.len());
            assert_eq!(whole, content);
            let mut long = vec![7; content.len() + 5];
            assert_eq!(source.read_to_end(&mut long).unwrap(), content.len(), "it is shorter than was said");
            if let Some(part) = content.len().checked_sub(1) {
                assert_eq!(source.read_to_end(&mut vec![0; part]).unwrap(), content.len(), "it goes on");
                assert!(source.read_to_end(&mut [0; 3]).unwrap() > 3, "it goes on");
            }
        }
    }
}

#[test]
fn any_change_is_seen_and_only_a_shorter_file_is_lost_for_sure() {
    let place = TestRoot::new();
    for (change, expected) in [
        (&(|path: &Path| fs::write(path, b"three").unwrap()) as &dyn Fn(&Path), Since::ReadAgain),
        (&|path: &Path| fs::write(path, b"two").unwrap(), Since::ReadAgain),
        (&|path: &Path| fs::write(path, b"2").unwrap(), Since::Shorter),
        (&|path: &Path| fs::rename(path, path.with_extension("b")).unwrap(), Since::ReadAgain),
        (&|path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap(), Since::ReadAgain),
        (&|path: &Path| File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap(), Since::ReadAgain),
    ] {
        place.write("a", b"one");
        let source = opened_at_rest(&place, "a");
        assert_eq!(source.since_opened().unwrap(), Since::Same);
        change(&place.path("a"));
        assert_eq!(source.since_opened().unwrap(), expected);
        assert!(!source.unchanged().unwrap());
    }
}

/// As whoever sends it opens it.
fn opened_at_rest(place: &TestRoot, name: &str) -> Source {
    loop {
        let source = place.root.open_source(&wire(name)).unwrap();
        match source.settles_in() {
            None => return source,
            Some(wait) => std::thread::sleep(wait),
        }
    }
}

#[test]
fn a_write_of_equal_length_is_seen_however_soon_it_comes() {
    let place = TestRoot::new();
    for round in 0..20 {
        place.write("a", b"one");
        let source = opened_at_rest(&place, "a");
        // In place, as a database writes; the time is put back.
        let file = fs::OpenOptions::new().write(true).open(place.path("a")).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"two", 0).unwrap();
        file.set_modified(before).unwrap();
        assert_eq!(source.since_opened().unwrap(), Since::ReadAgain, "round {round}");
    }
}

#[test]
fn what_has_just_changed_is_not_relied_on_yet_and_what_has_not_is() {
    let place = TestRoot::new();
    place.write("a", b"one");
    let mut source = place.root.open_source(&wire("a")).unwrap();
    let at = |secs, nanos| SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
    for (secs, nanos, opened, expected) in [
        (100, 5_000_000, at(100, 5_000_000), Some(Duration::from_millis(20))),
        (100, 5_000_000, at(100, 24_000_000), Some(Duration::from_millis(1))),
        (100, 5_000_000, at(100, 25_000_000), None),
        (100, 5_000_000, at(100, 4_000_000), None),
        (100, 0, at(101, 0), Some(Duration::from_secs(1))),
        (100, 0, at(102, 0), None),
        (-100, 0, at(0, 0), None),
    ] {
        source.meta.identity.ctime = Mtime { secs, nanos };
        source.opened = opened;
        assert_eq!(source.settles_in(), expected, "{secs}.{nanos:09} {opened:?}");
    }
}

#[test]
fn sizes_of_proc_and_sys_are_not_honest_and_those_on_a_disk_are() {
    let place = TestRoot::new();
    for content in [&b""[..], b"x", &[1; 5000]] {
        place.write("a", content);
        assert!(place.root.open_source(&wire("a")).unwrap().has_honest_size().unwrap());
    }
    let proc = crate::storage::Root::open(Path::new("/proc")).unwrap();
    assert!(!proc.tree().open_source(&wire("version")).unwrap().has_honest_size().unwrap(), "given as 0");
    let page = Path::new("/sys/kernel/mm/transparent_hugepage/enabled");
    match File::open(page) {
        Ok(file) => assert!(!Source::new(file, page).unwrap().has_honest_size().unwrap(), "given as a page"),
        Err(_) => println!("skipped: there is no {}", page.display()),
    }
}

#[test]
fn a_fifo_or_directory_is_no_source() {
    let place = TestRoot::new();
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, place.path("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    fs::create_dir(place.path("dir")).unwrap();
    let status = |name| place.root.open_source(&wire(name)).unwrap_err().status();
    assert_eq!(status("fifo"), Status::Unsupported);
    assert_eq!(status("socket"), Status::Unsupported);
    assert_eq!(status("dir"), Status::BadName);
    assert_eq!(status("missing"), Status::NotFound);
    let stat = |name| place.root.stat(&wire(name)).unwrap_err().status();
    assert_eq!(stat("fifo"), Status::Unsupported);
}
