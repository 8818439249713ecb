//! A job of which nothing moves.

use super::*;

#[test]
fn silence_from_the_other_side_is_mentioned_once() {
    let mut stage = stage(options(DisplayMode::Final));
    for second in 0..9 {
        stage.ui.tick(stage.now + Duration::from_secs(second));
    }
    assert_eq!(stage.err.text(), "no reply from 192.0.2.1:4433/udp yet (firewall? wrong port?)\n");
}

/// A job whose connection goes silent for so long, looked at each second.
fn silence(options: UiOptions) -> UiFixture {
    let mut stage = stage(options);
    stage.ui.event(&all_events()[0], stage.now);
    let at = |second| stage.now + Duration::from_secs(second);
    for (second, event) in [
        (1, None),
        (4, Some(Event::Silent { lasted: Duration::from_secs(3), cause: SilenceCause::NoAnswer })),
        (5, None),
        (9, Some(Event::Silent { lasted: Duration::from_secs(8), cause: SilenceCause::NoRoute })),
        (20, Some(Event::Answered { after: Duration::from_secs(19) })),
    ] {
        event.iter().for_each(|event| stage.ui.event(event, at(second)));
        stage.ui.tick(at(second));
    }
    stage
}

#[test]
fn a_silence_and_its_end_are_each_told_once_with_the_cause() {
    let stage = silence(options(DisplayMode::Final));
    let expected = "\
no answer from box for 3s; trying again
no route to box for 8s; trying again
box answers again after 8s
";
    assert_eq!(stage.err.text(), expected);
    let stage = silence(UiOptions { json: true, ..options(DisplayMode::Silent) });
    let lines = stage.out.text();
    let notes: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .filter(|line: &serde_json::Value| line["cause"].is_string())
        .collect();
    let told: Vec<_> = notes.iter().map(|note| (&note["kind"], &note["cause"], &note["stalled_ms"])).collect();
    let [stalled, moving] = [serde_json::json!("stalled"), "moving".into()];
    let [answer, route] = [serde_json::json!("no_answer"), "no_route".into()];
    let [three, eight] = [serde_json::json!(3000), 8000.into()];
    assert_eq!(told, [(&stalled, &answer, &three), (&stalled, &route, &eight), (&moving, &route, &eight)], "{lines}");
    assert_eq!(notes[0]["text"], "no answer from box for 3s; trying again");
}

#[test]
fn nobody_is_silent_before_the_transfer_begins() {
    let mut stage = stage(options(DisplayMode::Final));
    let read = stage.now + Duration::from_secs(60);
    stage.ui.begin(read);
    stage.ui.tick(read + Duration::from_millis(100));
    assert_eq!(stage.err.text(), "");
}
