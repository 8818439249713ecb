//! Power cuts and kills after each system call that changes the disk, with the real program on a real ext4.
//!
//! One run of each kind is held after each such call of the end that receives. Then the disk is looked at as a power cut at
//! that moment would leave it, and held against what the client has said by then: with a journal that has only what the
//! program synced, and with one that has every name and no content. Other runs are really cut off, or killed; then the same
//! command is run to its end, and the power fails at once.
//!
//! The ordinary form does this after some calls of each kind of run, at one of the two ends. With `QFT_CUTS=1` it is after
//! each call at both ends in all ways, with `QFT_CUTS=5` after every fifth, and each kind of run has a line of its own. That
//! takes hours; `QFT_CUTS_OF='skip|fail'` looks at these kinds of run alone, `QFT_CUTS_ON=Xfs` at one other file system, and
//! `QFT_CUTS_BY=Killed` at one way of interrupting.

mod disk;
mod judge;
mod room;
mod scene;
mod support;
mod tracer;
mod tree;

use std::cell::Cell;

use crate::support::alone::is_alone;
use disk::{Cut, FileSystem};
use judge::Counts;
use room::{End, Journal, Role, Room};
use scene::{DROP_BOX, FILES, SCENES, SMALL_FILES};

/// After every so many calls there is a cut.
const EVERY: &str = "QFT_CUTS";

/// Kinds of run that alone are looked at.
const OF: &str = "QFT_CUTS_OF";

/// The one of the other file systems that is looked at.
const ON: &str = "QFT_CUTS_ON";

/// The one way of interrupting that is tried.
const BY: &str = "QFT_CUTS_BY";

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// What the environment says; `None` for the ordinary form.
fn every() -> Option<u64> {
    Some(std::env::var(EVERY).ok()?.parse().expect("QFT_CUTS is a number"))
}

/// Whether that way of interrupting is tried.
fn is_tried(end: End) -> bool {
    std::env::var(BY).map_or(true, |by| by == format!("{end:?}"))
}

/// The kinds of run, with their numbers.
fn scenes() -> impl Iterator<Item = (usize, scene::Scene)> {
    let of = std::env::var(OF).ok();
    let is_looked_at =
        move |scene: &scene::Scene| of.as_ref().is_none_or(|of| of.split('|').any(|name| name == scene.name));
    SCENES.into_iter().enumerate().filter(move |(_, scene)| is_looked_at(scene))
}

/// A room, where there can be one, in the process of the test of that name alone: a tracer waits for whatever child it has.
fn room(test: &str) -> Option<Room> {
    room_on(test, FileSystem::Ext4)
}

fn room_on(test: &str, kind: FileSystem) -> Option<Room> {
    match disk::missing(kind) {
        None => is_alone(&format!("cuts::{test}")).then(|| Room::new(kind)),
        Some(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

/// Prints what came of all, and fails when anything was lost.
fn conclude(what: &str, all: &Counts) {
    println!("{what:52} {all}");
    assert_eq!(all.bad(), 0, "{what}: {:#?}", all.complaints);
}

#[test]
fn what_was_reported_survives_a_power_cut_after_any_call() {
    /// So many calls are between two looks of the ordinary form.
    const USUALLY: u64 = 23;
    let Some(mut room) = room("what_was_reported_survives_a_power_cut_after_any_call") else { return };
    let mut all = Counts::default();
    for (number, scene) in scenes() {
        let ways = ROLES.into_iter().flat_map(|role| [(role, Journal::Late), (role, Journal::Early)]);
        for (way, (role, journal)) in ways.enumerate() {
            let Some(every) = every() else {
                // Of the four ways that there are, the ordinary form goes one.
                if way == number % 4 {
                    all += room.sweep(scene, role, journal, number as u64, USUALLY);
                }
                continue;
            };
            let counts = room.sweep(scene, role, journal, number as u64, every);
            println!("{:16} {role:?} receives, journal {journal:?}: {counts}", scene.name);
            all += counts;
        }
    }
    let has_drop_box = std::env::var(OF).map_or(true, |of| of.split('|').any(|name| name == DROP_BOX.name));
    for journal in [Journal::Late, Journal::Early].into_iter().filter(|_| has_drop_box) {
        let counts = room.sweep(DROP_BOX, Role::Server, journal, 7, every().unwrap_or(USUALLY));
        println!("{:16} Server receives, journal {journal:?}: {counts}", DROP_BOX.name);
        all += counts;
    }
    conclude("cuts", &all);
}

#[test]
fn the_same_holds_on_other_file_systems() {
    let Some(every) = every() else {
        println!("skipped: other file systems are for {EVERY}");
        return;
    };
    let ways =
        [(FileSystem::Xfs, Journal::Late), (FileSystem::Xfs, Journal::Early), (FileSystem::Btrfs, Journal::Late)];
    for (kind, journal) in ways {
        if std::env::var(ON).is_ok_and(|on| on != format!("{kind:?}")) {
            continue;
        }
        let Some(mut room) = room_on("the_same_holds_on_other_file_systems", kind) else { continue };
        let mut all = Counts::default();
        for (number, scene) in scenes() {
            for role in ROLES {
                all += room.sweep(scene, role, journal, number as u64, every);
            }
        }
        conclude(&format!("{kind:?}, journal {journal:?}"), &all);
    }
}

#[test]
fn what_a_cut_or_a_kill_leaves_on_xfs_is_finished_by_the_same_command() {
    let Some(every) = every() else {
        println!("skipped: other file systems are for {EVERY}");
        return;
    };
    let Some(mut room) = room_on("what_a_cut_or_a_kill_leaves_on_xfs_is_finished_by_the_same_command", FileSystem::Xfs)
    else {
        return;
    };
    let mut all = Counts::default();
    let ends = [End::Power(Cut::AtOnce), End::Power(Cut::AfterJournal)];
    for (number, scene) in scenes().filter(|(_, scene)| !scene.is_dry()) {
        for (role, end) in ROLES.into_iter().flat_map(|role| ends.map(|end| (role, end))) {
            all += interrupted_throughout(&mut room, number, scene, role, end, every);
        }
    }
    conclude("Xfs, cuts, and the same command again", &all);
}

#[test]
fn what_a_cut_or_a_kill_leaves_is_finished_by_the_same_command() {
    /// The ordinary form interrupts each kind of run after one of the first so many calls.
    const AFTER: u64 = 60;
    let Some(mut room) = room("what_a_cut_or_a_kill_leaves_is_finished_by_the_same_command") else { return };
    let mut all = Counts::default();
    let ends =
        [End::Killed, End::Power(Cut::AtOnce), End::Lost, End::Power(Cut::AfterJournal), End::Power(Cut::AfterSync)];
    for (number, scene) in scenes().filter(|(_, scene)| !scene.is_dry()) {
        for role in ROLES {
            let Some(every) = every() else {
                if role as usize == number % 2 {
                    let end = ends[number % ends.len()].of(role);
                    let nth = 1 + 13 * number as u64 % AFTER;
                    all += room.interrupted(scene, role, end, |call, _| call == nth).unwrap_or_default();
                }
                continue;
            };
            for end in ends.into_iter().filter(|end| end.of(role) == *end && is_tried(*end)) {
                all += interrupted_throughout(&mut room, number, scene, role, end, every);
            }
        }
    }
    conclude("cuts and kills, and the same command again", &all);
}

/// Interrupts runs of that kind, each after another of every so many calls, and prints what came of these: they take long,
/// and who ends the whole early wants to know what has been looked at.
fn interrupted_throughout(
    room: &mut Room,
    number: usize,
    scene: scene::Scene,
    role: Role,
    end: End,
    every: u64,
) -> Counts {
    let mut sum = Counts::default();
    for nth in (1 + number as u64 % every..).step_by(every as usize) {
        let Some(counts) = room.interrupted(scene, role, end, |call, _| call == nth) else { break };
        sum += counts;
    }
    println!("{:16} {role:?} receives, {end:?}: {sum}", scene.name);
    sum
}

#[test]
fn directories_have_their_times_though_the_connection_was_lost_after_the_last_file() {
    let Some(mut room) = room("directories_have_their_times_though_the_connection_was_lost_after_the_last_file") else {
        return;
    };
    let mut all = Counts::default();
    for name in ["first", "skip, first"] {
        for role in ROLES {
            let named = Cell::new(0);
            // What gets a time after the last file has its name is a directory.
            let is_time = |_, call: &str| {
                named.set(named.get() + usize::from(call.starts_with("rename")));
                named.get() == FILES && call == "utimensat"
            };
            all +=
                room.interrupted(scene::named(name), role, End::Lost.of(role), is_time).expect("directories get times");
        }
    }
    conclude("connections lost after the last file", &all);
}

#[test]
fn a_directory_that_its_owner_may_not_change_is_shut_by_the_run_after_one_that_was_killed() {
    let Some(mut room) = room("a_directory_that_its_owner_may_not_change_is_shut_by_the_run_after_one_that_was_killed")
    else {
        return;
    };
    let mut all = Counts::default();
    for name in ["first", "skip, first"] {
        let named = Cell::new(0);
        // All files have their names, and no directory has its mode.
        let last = |_, call: &str| {
            named.set(named.get() + usize::from(call.starts_with("rename")));
            named.get() == FILES
        };
        all += room.interrupted(scene::named(name), Role::Client, End::Killed, last).expect("files get names");
    }
    conclude("a directory that is to be shut", &all);
}

#[test]
fn broken_rules_are_found() {
    let Some(mut room) = room("broken_rules_are_found") else { return };
    for (rule, find) in [
        ("sync-directories", loses_names as fn(&mut Room) -> Counts),
        ("skip-durably", trusts_names),
        ("skip-durably", trusts_what_is_in_memory),
        ("skip-by-stamp", trusts_content),
        ("compare-digests", compares_nothing),
    ] {
        room.break_rule(Some(rule));
        let counts = find(&mut room);
        println!("without {rule:18} {counts}");
        assert!(counts.bad() > 0, "without {rule} nothing was found");
        room.break_rule(None);
        conclude(rule, &find(&mut room));
    }
}

fn loses_names(room: &mut Room) -> Counts {
    room.sweep(scene::named("first"), Role::Server, Journal::Late, 0, 23)
}

/// A name that was given and not synced is trusted by the next run.
fn trusts_names(room: &mut Room) -> Counts {
    let named = Cell::new(0);
    // All have their names, and the directory has not been synced.
    let last = |_, call: &str| {
        named.set(named.get() + usize::from(call == "renameat"));
        named.get() == SMALL_FILES
    };
    room.interrupted(scene::named("files"), Role::Client, End::Killed, last).expect("files get names")
}

/// So is a content.
fn trusts_what_is_in_memory(room: &mut Room) -> Counts {
    room.sweep(scene::named("files, not synced"), Role::Client, Journal::Late, 0, 23)
}

fn trusts_content(room: &mut Room) -> Counts {
    room.sweep(scene::named("updated"), Role::Client, Journal::Late, 0, 23)
}

fn compares_nothing(room: &mut Room) -> Counts {
    room.sweep(scene::named("resumed"), Role::Server, Journal::Late, 0, 23)
}
