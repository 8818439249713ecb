//! The output of a dry run.

use super::*;

#[test]
fn a_dry_run_does_not_call_replaced_what_is_only_to_be_compared_or_steps_aside() {
    let mut stage = stage(UiOptions { dry_run: true, ..options(DisplayMode::Final) });
    for (path, from) in [("same-size", 2048), ("longer", 1024)] {
        let planned = Event::Planned { path: path.into(), size: 2048, from, why: Why::Update, named: None };
        stage.ui.event(&planned, stage.now);
    }
    assert_eq!(stage.out.text(), "? compare          2.0 KiB  same-size\n~ update           2.0 KiB  longer\n");
    let mut stage = self::stage(UiOptions { dry_run: true, steps_aside: true, ..options(DisplayMode::Final) });
    for named in [Some("f~1".to_owned()), None] {
        let planned = Event::Planned { path: "d/f".into(), size: 2048, from: 0, why: Why::Replace, named };
        stage.ui.event(&planned, stage.now);
    }
    assert_eq!(stage.out.text(), "+ rename           2.0 KiB  d/f -> f~1\n+ rename           2.0 KiB  d/f\n");
}

#[test]
fn a_dry_run_prints_each_decision_and_the_totals() {
    let mut stage = stage(UiOptions { dry_run: true, ..options(DisplayMode::Final) });
    let planned = |path: &str, why| Event::Planned { path: path.into(), size: 2048, from: 0, why, named: None };
    for event in [planned("a", Why::New), planned("b", Why::Replace), planned("c", Why::Update)] {
        stage.ui.event(&event, stage.now);
    }
    for event in all_events() {
        stage.ui.event(&event, stage.now);
    }
    stage.ui.end(&Ok(JobReport { failed: 1, ..JobReport::default() }), Exit::SomeFailed, stage.now);
    let expected = "\
+ new              2.0 KiB  a
~ replace          2.0 KiB  b
~ update           2.0 KiB  c
= same                 5 B  same
! exists               5 B  there
» resume at 61%      100 B  plan
! fails                     bad: cannot be read: Permission denied\\033[2J
";
    assert_eq!(stage.out.text(), expected);
    assert!(
        stage.err.text().contains("would send 3 files, update 1, 6.0 KiB (61 B are there)"),
        "{}",
        stage.err.text()
    );
}
