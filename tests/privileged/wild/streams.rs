//! Standard input, output and error that are closed, or open the wrong way round, when the program starts.

use crate::support::bin::{Machine, wait_for};

/// A command line of a shell, the code that it ends with, and what it says.
type Case<'a> = (&'a str, i32, &'a str);

fn run(machine: &Machine, (line, code, says): Case<'_>) -> String {
    let ended = machine.shell(line).output().expect("a shell runs");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(code), "{line}: {said}");
    assert!(said.contains(says), "{line}: {said}");
    said
}

#[test]
fn standard_input_that_is_closed_or_cannot_be_read_is_no_empty_file() {
    let machine = Machine::new();
    machine.write("f", "content");
    let closed = "reading standard input: Bad file descriptor: it is closed";
    for (line, code, says) in [
        ("qft send - local:there/closed <&-", 1, closed),
        ("qft send - local:there/closed <&- >&-", 1, closed),
        // What a container without a standard input has, and what nohup leaves.
        ("qft send - local:there/both 0<>/dev/null", 1, closed),
        ("qft send - local:there/other 0>written", 1, "Bad file descriptor: it can only be written to"),
        ("qft send --files-from - . --to local:listed <&-", 1, "cannot read -: Bad file descriptor: it is closed"),
        ("qft send - local:there/directory <.", 1, "reading standard input: Is a directory"),
    ] {
        run(&machine, (line, code, says));
    }
    assert!(!machine.has("there") && !machine.has("listed"), "nothing was made for what never came");
    run(&machine, ("qft send - local:there/empty </dev/null", 0, "sent 1 file"));
    run(&machine, ("sh -c 'echo x | qft send - local:there/full'", 0, "sent 1 file"));
    assert_eq!((machine.read("there/empty"), machine.read("there/full")), (vec![], b"x\n".to_vec()));
}

#[test]
fn content_for_a_standard_output_that_is_closed_or_takes_nothing_is_not_fetched_in_vain() {
    let machine = Machine::new();
    machine.write("f", "content");
    for case in [
        ("qft get local:f - >&-", 1, "writing to standard output: Bad file descriptor: it is closed"),
        ("qft get local:f - 1<f", 1, "writing to standard output: Bad file descriptor"),
        ("qft get local:f - >/dev/null", 0, ""),
        ("qft get local:f - >copy", 0, ""),
    ] {
        run(&machine, case);
    }
    assert_eq!(machine.read("copy"), b"content");
}

#[test]
fn nothing_is_called_got_that_standard_output_has_not_taken() {
    let machine = Machine::new();
    // More than a pipe holds.
    machine.write_large("f", 1 << 20);
    for line in ["qft get local:f - >/dev/full", "qft get -v local:f - >/dev/full"] {
        let said = run(&machine, (line, 1, "writing to standard output: No space left on device"));
        assert!(!said.contains("verified"), "{line}: {said}");
    }
    let said = run(&machine, ("sh -c '{ qft get local:f -; echo $? >code; } | head -c 1 >/dev/null'", 0, ""));
    assert_eq!(machine.read("code"), b"1\n");
    assert!(
        !said.contains("verified") && !said.contains("qft:"),
        "a reader that wants no more needs no message: {said}"
    );
    run(&machine, ("qft get local:f - >copy", 0, "got 1 file, 1.0 MiB"));
    assert!(machine.read("copy") == machine.read("f"));
}

#[test]
fn whatever_prints_fails_when_its_output_takes_nothing() {
    let machine = Machine::new();
    machine.write("f", "content");
    machine.run("id").exits(0);
    for line in [
        "id",
        "id --json",
        "config",
        "config --json",
        "history",
        "history --json",
        "remote",
        "peers",
        "peers token",
        "man",
        "completions bash",
        "doctor",
        "doctor --json",
        "ls local:.",
        "ls --json local:.",
        "parts --json local:.",
        "send --json f --to local:there",
    ] {
        for output in [">/dev/full", "1<f"] {
            run(&machine, (&format!("qft {line} {output}"), 1, "writing to standard output: "));
        }
    }
    assert_eq!(machine.read("there/f"), b"content", "it arrives all the same");
    assert_eq!(machine.read("f"), b"content");
}

#[test]
fn without_standard_streams_files_arrive_and_nothing_else_is_written_into_them() {
    let machine = Machine::new();
    machine.write_large("large", 3 << 20);
    machine.write("f", "content");
    for (there, line) in [
        ("sent", "qft send large f --to local:sent"),
        ("events", "qft send -v --json large f --to local:events"),
        ("got", "qft get local:large local:f got"),
    ] {
        run(&machine, (&format!("{line} <&- >&- 2>&-"), 0, ""));
        for name in ["large", "f"] {
            assert!(machine.read(&format!("{there}/{name}")) == machine.read(name), "{there}/{name}");
        }
    }
    let line = "qft serve -v -l 127.0.0.1:0 --ticket-file ticket in <&- >&- 2>&-";
    let mut serve = machine.shell(line).spawn().expect("a shell");
    let ticket =
        wait_for("a ticket", || String::from_utf8(machine.has("ticket").then(|| machine.read("ticket"))?).ok());
    let client = Machine::new();
    client.write_large("large", 3 << 20);
    let sent = client.run(&format!("send large --to {}", ticket.trim()));
    serve.kill().and_then(|()| serve.wait()).expect("ours");
    sent.exits(0);
    assert!(machine.read("in/large") == client.read("large"));
}
