//! What a file costs in system calls: each of ten thousand small ones pays for all that is asked about it.

use super::has_strace;
use crate::support::bin::Machine;

/// Calls that look at something, open, read, write, name or close it.
const CALLS: &str = "?openat,?openat2,?close,?fstat,?newfstatat,?statx,?pread64,?preadv,?pwrite64,?fstatfs,?ioctl,?fcntl,\
                     ?flock,?fchmod,?utimensat,?renameat,?geteuid";
/// Most of them for one file, at both ends together: 20 where the file system is a usual one, four more where it has to be
/// asked at each file.
const CALLS_A_FILE_MAX: usize = 26;
const FEW: usize = 20;
const MANY: usize = 420;

#[test]
fn a_small_file_costs_few_calls() {
    let machine = Machine::new();
    if !has_strace(&machine) {
        return;
    }
    let calls = |files: usize| {
        let name = format!("tree{files}");
        for n in 0..files {
            machine.write(&format!("{name}/{n}"), format!("content {n}"));
        }
        // What has just changed is asked about once more a moment later.
        std::thread::sleep(std::time::Duration::from_millis(100));
        let tracer = format!("strace -f -qq -o trace{files} -e trace={CALLS}");
        machine.under(&tracer, &format!("send -q --no-sync {name} --to local:there")).run().exits(0);
        assert_eq!(machine.tree(&format!("there/{name}")).len(), files);
        let trace = String::from_utf8_lossy(&machine.read(&format!("trace{files}"))).into_owned();
        trace.lines().filter(|line| !line.contains(" resumed>")).count()
    };
    let (few, many) = (calls(FEW), calls(MANY));
    let each = many.saturating_sub(few) / (MANY - FEW);
    println!("{each} calls for each file ({few} for {FEW}, {many} for {MANY})");
    assert!(each > 0 && each <= CALLS_A_FILE_MAX, "{each} calls for each small file");
}
