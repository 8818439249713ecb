//! The hosts that ssh's configuration names: words that a user may take for a remote's name.

use std::fs;
use std::path::{Path, PathBuf};

use globset::Glob;

/// The user's file in the directory of ssh.
const FILE: &str = "config";
/// How deep files are included in files. ssh allows more; nobody writes so.
const DEPTH_MAX: u32 = 4;

/// The names behind `Host`, without those that are patterns; `dir` is `~/.ssh`. What cannot be read names nobody.
pub(crate) fn config_hosts(dir: &Path) -> Vec<String> {
    let mut hosts = Vec::new();
    read(dir, &dir.join(FILE), DEPTH_MAX, &mut hosts);
    hosts
}

fn read(dir: &Path, file: &Path, depth: u32, hosts: &mut Vec<String>) {
    let Ok(text) = fs::read_to_string(file) else { return };
    for line in text.lines() {
        let line = line.trim_start();
        let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
        let (keyword, values) = line.split_at(end);
        let values = values.trim_start_matches(|c: char| c.is_whitespace() || c == '=').split_whitespace();
        let values = values.map(|value| value.trim_matches('"'));
        match keyword.to_ascii_lowercase().as_str() {
            "host" => hosts.extend(values.filter(|host| !host.contains(['*', '?', '!'])).map(str::to_owned)),
            "include" if depth > 0 => {
                values.flat_map(|value| included(dir, value)).for_each(|file| read(dir, &file, depth - 1, hosts));
            }
            _ => {}
        }
    }
}

/// The files that an `Include` names: relative to the directory of ssh, `~/` is the home directory, and the last
/// component may be a pattern.
fn included(dir: &Path, value: &str) -> Vec<PathBuf> {
    let path = match value.strip_prefix("~/") {
        Some(below) => dir.parent().unwrap_or(dir).join(below),
        None => dir.join(value),
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    if !name.contains(['*', '?', '[']) {
        return vec![path];
    }
    let Ok(glob) = Glob::new(name).map(|glob| glob.compile_matcher()) else { return Vec::new() };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries.filter(|entry| glob.is_match(entry.file_name())).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_the_file_and_in_what_it_includes() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let dir = home.path().join(".ssh");
        fs::create_dir_all(dir.join("config.d")).expect("made");
        let text = "# Host no\nHost box lab*\n  HostName 10.0.0.7\nhost=\"far\" !near ?\nInclude config.d/* ~/more\n\
                    Include config\nMatch host x\n";
        fs::write(dir.join("config"), text).expect("written");
        fs::write(dir.join("config.d/work"), "Host\tdesk\n").expect("written");
        fs::write(home.path().join("more"), "Host attic\n").expect("written");
        let hosts = config_hosts(&dir);
        for host in ["box", "far", "desk", "attic"] {
            assert!(hosts.iter().any(|found| found == host), "{host}: {hosts:?}");
        }
        assert!(hosts.iter().all(|host| !host.contains(['*', '?', '!', '"']) && host != "no"), "{hosts:?}");
        assert!(config_hosts(&home.path().join("missing")).is_empty());
    }
}
