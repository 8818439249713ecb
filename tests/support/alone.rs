//! Tests that look at, or change, what a whole process has: its memory, its descriptors, its threads.

use std::env;
use std::process::{Command, Stdio};

/// Set in a process that runs one test alone.
const ALONE: &str = "QFT_TEST_ALONE";

/// Whether this process runs the test of that name, path included, alone. If not, such a process runs it before this returns.
pub(crate) fn is_alone(test: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let own = env::current_exe().expect("this program has a name");
    let mut command = Command::new(own);
    command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").stdin(Stdio::null());
    let output = command.output().expect("this program starts once more");
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(" 1 passed"), "{test}, alone: {}", output.status);
    false
}
