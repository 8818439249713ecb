//! Sources whose size is not what is said, that change, or that have no content.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{BEHIND, failing, has_strace, set_mode, set_modified, with_disk};
use crate::support::bin::{Machine, wait_for};

const MIB: u64 = 1 << 20;

/// More than both ends take at once, so that the end of a slow transfer is some time after its start.
const SLOW_BYTES: u64 = 96 * MIB;
const SLOWLY: &str = "--bwlimit 30M --no-sync";

/// Meddles on a thread of its own for as long as `work` takes, also where that panics.
fn meanwhile(mut meddle: impl FnMut() + Send, work: impl FnOnce()) {
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                meddle();
            }
        });
        let _end = End(&ended);
        work();
    });
}

#[test]
fn a_file_that_is_called_empty_and_is_not_never_becomes_an_empty_success() {
    let machine = Machine::new();
    machine.write("d/honest", "content");
    machine.run("send /proc/version d/honest --to local:there").exits(3).says(&["version", "does not say how long"]);
    assert_eq!(machine.tree("there"), ["honest"]);
    machine.run("get local:/proc/version here").exits(1).says(&["version", "does not say how long"]);
    assert!(!machine.has("here"));
    // An empty one of that name and time was left there by whoever did not look.
    machine.write("there/version", "");
    machine.run("send /proc/version --to local:there").exits(1);
    // The remedy that is offered.
    let remote = Machine::new();
    let serve = remote.serve("in", "");
    machine.qft(["remote", "add", "box", serve.ticket()]).run().exits(0);
    let version = fs::read("/proc/version").expect("this is Linux");
    machine.qft(["send", "-", "box:version"]).stdin(&version).run().exits(0);
    assert_eq!(remote.read("in/version"), version);
}

#[test]
fn a_file_that_is_shorter_than_its_size_is_said_to_be() {
    let page = "/sys/kernel/mm/transparent_hugepage/enabled";
    if !Path::new(page).exists() {
        println!("skipped: there is no {page}");
        return;
    }
    let machine = Machine::new();
    machine.run(&format!("send {page} --to local:there")).exits(1).says(&["enabled", "does not say how long"]);
    assert_eq!(machine.tree("there"), Vec::<String>::new());
}

#[test]
fn a_disk_that_calls_every_file_empty_gives_none() {
    let Some((_disk, machine)) = with_disk("size0=1") else { return };
    machine.write(&format!("{BEHIND}/d/full"), "content");
    machine.write(&format!("{BEHIND}/d/empty"), "");
    machine.run("send disk/d --to local:there").exits(3).says(&["d/full", "does not say how long"]);
    assert_eq!(machine.tree("there"), ["d/", "d/empty"]);
}

#[test]
fn what_is_called_a_hole_and_is_none_arrives_whole() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    let path = machine.write_large("holey", 4 * MIB);
    OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(64 * MIB)).expect("ours");
    let lying = failing("lseek", "ENXIO", &[&path]);
    machine.under(&lying, "send holey --to local:there").run().exits(0);
    assert!(machine.read("there/holey") == machine.read("holey"));
    // And where it is copied from an old version: the holes of that one are not believed either.
    let there = machine.path("there/holey");
    set_modified(&there, 1_000_000_000, 0);
    OpenOptions::new().write(true).open(&path).and_then(|file| file.write_all_at(b"new", 9 * MIB)).expect("ours");
    let lying = failing("lseek,ioctl,copy_file_range", "ENXIO", &[&there]);
    machine.under(&lying, "send holey --to local:there").run().exits(0);
    assert!(machine.read("there/holey") == machine.read("holey"));
}

/// A file is said to have started before it is opened, but what is in its `part` was read from it.
fn wait_until_it_is_read(machine: &Machine, part: &str) {
    let part = machine.path(part);
    wait_for("the first bytes", || fs::metadata(&part).is_ok_and(|part| part.len() > 0).then_some(()));
}

#[test]
fn a_file_whose_mode_and_name_change_while_it_is_sent_is_sent() {
    let machine = Machine::new();
    let path = machine.write_large("big", SLOW_BYTES);
    meanwhile(
        || {
            set_mode(&path, 0o600);
            std::thread::yield_now();
        },
        || {
            machine.run(&format!("send {SLOWLY} big --to local:there")).exits(0);
        },
    );
    assert!(machine.read("there/big") == machine.read("big"));
    let running = machine.run_on(&format!("send {SLOWLY} big --to local:second"));
    wait_until_it_is_read(&machine, "second/.big.qft-part");
    fs::rename(&path, machine.path("moved")).expect("ours");
    running.end().exits(0);
    assert!(machine.read("second/big") == machine.read("moved"));
}

#[test]
fn a_write_whose_time_is_put_back_is_found_out() {
    let machine = Machine::new();
    let path = machine.write_large("big", SLOW_BYTES);
    let time = set_modified(&path, 1_000_000_000, 5);
    let running = machine.run_on(&format!("send {SLOWLY} big --to local:there"));
    wait_until_it_is_read(&machine, "there/.big.qft-part");
    let file = OpenOptions::new().write(true).open(&path).expect("ours");
    file.write_all_at(b"changed", 5).expect("written");
    file.set_modified(time).expect("ours");
    running.end().exits(0);
    assert!(machine.read("there/big") == machine.read("big"), "it is sent anew");
}

#[test]
fn a_file_that_only_grows_is_delivered_as_it_was_with_a_note() {
    let machine = Machine::new();
    let path = machine.write_large("log", SLOW_BYTES);
    machine.write("small", "one line\n");
    let mut file = OpenOptions::new().append(true).open(&path).expect("ours");
    meanwhile(
        || {
            file.write_all(b"more\n").expect("written");
            std::thread::sleep(std::time::Duration::from_millis(1));
        },
        || {
            for (line, there) in [("send log --to local:there", "there/log"), ("get local:log got/", "got/log")] {
                machine.run(&format!("{line} {SLOWLY}")).exits(0).says(&["note:", "log grew"]);
                let (arrived, whole) = (machine.read(there), machine.read("log"));
                assert!(arrived.len() as u64 >= SLOW_BYTES && whole.starts_with(&arrived), "{}", arrived.len());
            }
        },
    );
}

#[test]
fn pipes_and_sockets_in_a_tree_are_notes_and_by_name_an_error_with_a_remedy() {
    let machine = Machine::new();
    machine.write("tree/file", "content");
    let pipe = machine.path("tree/pipe");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, rustix::fs::Mode::RUSR, 0).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(machine.path("tree/socket")).expect("made");
    // Like /dev/zero, which has no end; only root may make one.
    let device = rustix::fs::FileType::CharacterDevice;
    let zero = rustix::fs::makedev(1, 5);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        let path = machine.path("tree/zero");
        rustix::fs::mknodat(rustix::fs::CWD, &path, device, rustix::fs::Mode::RUSR, zero).expect("made");
    }
    let sent = machine.run("send tree --to local:there");
    sent.exits(0).says(&["note:", "tree/pipe", "named pipe"]).says(&["note:", "tree/socket", "socket"]);
    if is_root {
        sent.says(&["note:", "tree/zero", "device"]);
        machine.run("send tree/zero --to local:there").exits(2).says(&["device", "qft send -"]);
    }
    assert_eq!(machine.tree("there"), ["tree/", "tree/file"]);
    machine.run("send tree/pipe --to local:there").exits(2).says(&["is a pipe", "qft send -"]);
    assert!(fs::symlink_metadata(&pipe).expect("there").file_type().is_fifo());
}

#[test]
fn an_older_version_whose_inode_changes_while_it_is_brought_up_to_date_is_still_the_one_that_was_compared() {
    let machine = Machine::new();
    let (there, size) = (machine.write_large("there/f", 32 * MIB), 32 * MIB as usize);
    let mut content = vec![b'y'; 24 * MIB as usize];
    content.resize(size, b'x');
    machine.write("f", &content);
    let sent = || {
        machine.run("send --bwlimit 8M --no-sync f --to local:there").exits(0);
    };
    let modes = [0o600, 0o644];
    let mut timing = 0;
    let meddle = || {
        // It is another file once the new one has its name.
        set_mode(&there, modes[timing % 2]);
        timing += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    meanwhile(meddle, sent);
    assert!(machine.read("there/f") == content);
    // What is no longer the content that was compared never becomes a part of the new file.
    machine.write_large("there/f", 32 * MIB);
    let sending = machine.run_on("send --bwlimit 8M --no-sync f --to local:there");
    wait_until_it_is_read(&machine, "there/.f.qft-part");
    OpenOptions::new()
        .write(true)
        .open(&there)
        .and_then(|file| file.write_all_at(b"zzz", size as u64 - 9))
        .expect("ours");
    sending.end();
    assert!(machine.read("there/f") == content || machine.read("there/f").ends_with(b"zzzxxxxxx"));
}

/// Leases a file, and gives it back some time after the kernel has asked for that, as a file server does.
const LEASING: &str = r#"
import fcntl, os, signal, sys, time
held = os.open(sys.argv[1], os.O_RDWR)
def give_back(*_):
    time.sleep(0.3)
    fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
signal.signal(signal.SIGIO, give_back)
fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("leased", flush=True)
while True:
    signal.pause()
"#;

#[test]
fn a_file_that_a_file_server_has_leased_is_waited_for() {
    let machine = Machine::new();
    let leased = machine.write("f", "content");
    for line in ["send f --to local:sent", "get local:f got/"] {
        let python = Command::new("python3")
            .args(["-c", LEASING])
            .arg(&leased)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut python) = python else { return println!("skipped: Python is not here") };
        let mut said = String::new();
        BufReader::new(python.stdout.take().expect("piped")).read_line(&mut said).expect("a line, or the end");
        if said != "leased\n" {
            python.wait().expect("it has ended");
            return println!("skipped: this file system has no leases");
        }
        let outcome = machine.run(line);
        python.kill().and_then(|()| python.wait()).expect("it is ours");
        outcome.exits(0);
    }
    assert_eq!((machine.read("sent/f"), machine.read("got/f")), (b"content".to_vec(), b"content".to_vec()));
}
