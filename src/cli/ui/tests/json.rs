//! The events of a job.

use super::*;

#[test]
fn every_line_of_json_parses_and_the_last_is_the_summary() {
    let mut stage = stage(UiOptions { json: true, ..options(DisplayMode::Silent) });
    let counters = Arc::new(Counters::default());
    counters.bytes_written.store(77, Ordering::Relaxed);
    stage.ui.set_counters(counters);
    stage.ui.header("-> box:", serde_json::json!({"remote": "box"}));
    for event in all_events() {
        stage.ui.event(&event, stage.now);
    }
    for tenth in 0..35 {
        stage.ui.tick(stage.now + TICK * tenth);
    }
    let error = anyhow::anyhow!("the link\nis gone");
    stage.ui.end(&Err(error), Exit::Unreachable, stage.now);
    let text = stage.out.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    assert!(text.lines().all(|line| line.starts_with("{\"v\":1,\"type\":\"")), "{text}");
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds[0], "start");
    assert_eq!(kinds.iter().filter(|kind| **kind == "file").count(), 6);
    assert_eq!(kinds.iter().filter(|kind| **kind == "progress").count(), 3, "one a second");
    assert_eq!(kinds[kinds.len() - 2..], ["error", "summary"]);
    let last = &lines[lines.len() - 1];
    assert_eq!((last["exit_code"].as_u64(), last["bytes_written"].as_u64()), (Some(4), Some(77)));
    assert_eq!(stage.err.text(), "", "people's text is off");
}

#[test]
fn json_of_a_finished_job_has_its_figures() {
    let mut stage = stage(UiOptions { json: true, ..options(DisplayMode::Silent) });
    let report = JobReport { done: 3, bytes_written: 9, elapsed: Duration::from_millis(1500), ..JobReport::default() };
    stage.ui.end(&Ok(report), Exit::Done, stage.now);
    let last: serde_json::Value = serde_json::from_str(stage.out.text().trim()).expect("one line");
    assert_eq!(last["type"], "summary");
    assert_eq!((last["files_done"].as_u64(), last["elapsed_ms"].as_u64()), (Some(3), Some(1500)));
    assert_eq!(last["exit_code"], 0);
}
