//! The norms that no compiler keeps: sizes, words, and which room may use which.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MAX_FILE: usize = 500;
const MAX_LINE: usize = 100;

/// Each room, and the rooms of ours that it may name.
const ROOMS: &[(&str, &[&str])] = &[
    ("policy", &["policy"]),
    ("clock", &[]),
    ("store", &["store", "policy", "clock"]),
    ("rails", &["rails", "policy"]),
    ("engine", &["engine", "policy", "store", "rails", "clock"]),
    ("home", &["home", "policy", "store"]),
    ("telemetry", &["telemetry", "policy", "clock"]),
    ("client", &["client", "policy", "home", "clock"]),
    ("mcp", &["mcp", "client", "engine", "policy"]),
    ("http", &["http", "mcp", "engine", "policy", "clock"]),
    ("serve", &["serve", "http", "engine", "store", "rails", "policy", "client", "home", "clock"]),
    ("cli", &["cli", "serve", "mcp", "client", "engine", "policy", "home", "clock", "telemetry"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        if root().join(folder).is_dir() {
            files(&root().join(folder), "rs", &mut found);
        }
    }
    found.sort();
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn room(file: &str) -> Option<&str> {
    let inside = file.strip_prefix("src/")?;
    Some(inside.split(['/', '.']).next().unwrap_or_default())
}

#[test]
fn files_and_lines_stay_small() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let lines = text.lines().count();
        if lines > MAX_FILE {
            wrong.push(format!("{file} has {lines} lines, more than {MAX_FILE}"));
        }
        for (number, line) in text.lines().enumerate().filter(|(_, l)| l.chars().count() > MAX_LINE)
        {
            let width = line.chars().count();
            wrong.push(format!("{file}:{} is {width} wide, more than {MAX_LINE}", number + 1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_uses_only_the_rooms_it_may() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(room) = room(&file).filter(|room| !["main", "lib"].contains(room)) else {
            continue;
        };
        let known = ROOMS.iter().find(|(name, _)| *name == room);
        let Some((_, may)) = known else {
            wrong.push(format!("{file} is in no room that is known"));
            continue;
        };
        for used in used_rooms(&text) {
            if !may.contains(&used.as_str()) && used != room {
                wrong.push(format!("{file} names crate::{used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rooms that a source names behind `crate::`, one by one or in braces.
fn used_rooms(text: &str) -> Vec<String> {
    let names: Vec<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    let mut used = Vec::new();
    for rest in text.split("crate::").skip(1) {
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0_usize;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    c if depth == 0 && (c.is_alphanumeric() || c == '_') => word.push(c),
                    _ => {}
                }
                if depth == 0 && (c == ':' || c == ',') {
                    used.push(std::mem::take(&mut word));
                }
            }
            used.push(word);
        } else {
            used.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    used.retain(|name| names.contains(&name.as_str()));
    used
}

#[test]
fn no_source_holds_what_ours_never_hold() {
    // Split, so that this file does not name them.
    let banned = [
        (concat!("TO", "DO"), "do it, or say in the changelog that it is missing"),
        (concat!("FIX", "ME"), "fix it"),
        (concat!("todo", "!("), "do it"),
        (concat!("unimplemented", "!("), "do it"),
        (concat!("dbg", "!("), "take it out"),
        (concat!("#[al", "low("), "`#[expect(…, reason = …)]`"),
        (concat!("#![al", "low("), "`#![expect(…, reason = …)]`"),
        (concat!("#[ig", "nore"), "run it or delete it"),
        (concat!("/wo", "rk/"), "no path of one machine"),
        (concat!("/home", "/"), "no path of one machine"),
    ];
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (word, instead) in banned {
            if text.contains(word) {
                wrong.push(format!("{file} holds `{word}`: {instead}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_outside_tests_unwraps_or_panics() {
    let banned = [".unwrap()", ".expect(\"", "panic!(", "unreachable!("];
    let mut wrong = Vec::new();
    for (file, text) in sources().into_iter().filter(|(file, _)| file.starts_with("src/")) {
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in banned {
            if !file.ends_with("/tests.rs") && text.contains(word) {
                wrong.push(format!("{file} holds `{word}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn policy_depends_on_nothing_that_waits_or_touches_the_machine() {
    let banned = ["std::fs", "std::net", "std::env", "std::time", "tokio", "serde_json", "async "];
    let mut wrong = Vec::new();
    for (file, text) in sources().into_iter().filter(|(file, _)| file.starts_with("src/policy/")) {
        // What an API answers is JSON of any kind, and is handed on as that.
        let handed_on = |word: &str| word == "serde_json" && file.ends_with("/answer/response.rs");
        for word in banned.iter().filter(|word| text.contains(**word) && !handed_on(word)) {
            wrong.push(format!("{file} names `{word}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_changelog_is_kept_in_its_form() {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(text.starts_with("# Changelog\n"));
    assert!(text.contains("\n## [Unreleased]\n"));
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    for heading in text.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(kinds.contains(&heading), "`{heading}` is no kind of change");
    }
    let long = text.lines().find(|line| line.chars().count() > 120);
    assert_eq!(long, None);
}
