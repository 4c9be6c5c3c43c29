//! `completions`, `man` and the help that they are made of.

use super::Desk;

#[test]
fn every_shell_gets_a_script_that_knows_the_verbs() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = desk.ok(&format!("completions {shell}"));
        for word in ["unfreeze", "no-per-call", "dry-run"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    assert!(desk.fails("completions tcsh", 2).contains("hint: "));
    assert!(!desk.home().join("journal").exists(), "it starts nothing");
}

#[test]
fn every_verb_has_a_manual_page() {
    let desk = Desk::new();
    assert!(desk.ok("man").contains(".TH pettycash 1"));
    let dir = desk.home().join("man1");
    let told = desk.ok(&format!("man {}", dir.display()));
    let pages: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|page| page.unwrap()).collect();
    assert!(told.starts_with(&format!("Wrote {} pages to ", pages.len())), "{told}");
    for page in ["pettycash", "pettycash-agent-freeze", "pettycash-mandate-set", "pettycash-pay"] {
        let text = std::fs::read_to_string(dir.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}");
    }
    let text = std::fs::read_to_string(dir.join("pettycash-mandate-set.1")).unwrap();
    assert!(text.contains("pettycash mandate set scout"), "it has the examples");
    assert!(!dir.join("pettycash-help.1").exists());
}

/// The verbs below one that its help names.
fn verbs_below(desk: &Desk, verb: &str) -> Vec<String> {
    let help = desk.ok(&format!("{verb} --help"));
    let named = help.split_once("Commands:\n").map(|(_, rest)| rest).unwrap_or_default();
    let lines = named.lines().take_while(|line| !line.is_empty());
    // What is told of a verb may go on in further lines.
    let lines = lines.filter_map(|line| line.strip_prefix("  "));
    let verbs = lines.filter(|line| !line.starts_with(' '));
    let words = verbs.filter_map(|line| line.split_whitespace().next());
    let words = words.filter(|word| *word != "help");
    words.map(|word| format!("{verb} {word}").trim().to_owned()).collect()
}

#[test]
fn every_verb_shows_an_example_of_itself() {
    let desk = Desk::new();
    let (mut verbs, mut seen) = (verbs_below(&desk, ""), 0);
    while let Some(verb) = verbs.pop() {
        let below = verbs_below(&desk, &verb);
        if below.is_empty() {
            let help = desk.ok(&format!("{verb} --help"));
            let (_, examples) = help.split_once("Example").unwrap_or_default();
            assert!(examples.contains(&format!("pettycash {verb}")), "{verb}\n{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 100), "{verb}\n{help}");
            seen += 1;
        }
        verbs.extend(below);
    }
    assert!(seen > 35, "{seen}");
}

#[test]
fn the_help_and_the_readme_name_the_same_exit_codes() {
    let readme = include_str!("../../README.md");
    let codes = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = words.join(" ");
        let (_, codes) = text.split_once("Exit codes: ").unwrap();
        codes.split_once('.').unwrap().0.to_owned()
    };
    let named = codes(&Desk::new().ok("--help"));
    assert_eq!(named, codes(readme));
    assert_eq!(named.split(", ").count(), 8, "{named}");
}

#[test]
fn a_home_that_the_environment_names_is_not_told_as_one_to_be_typed() {
    let told = Desk::new().fails("pay scout", 2);
    assert!(told.contains("Usage: pettycash pay <HANDLE> <SERVICE> [AMOUNT]"), "{told}");
}

#[test]
fn the_help_of_groups_says_how_an_agent_is_put_into_one() {
    let told = Desk::new().ok("group --help");
    assert!(told.contains("pettycash mandate set scout --group team"), "{told}");
}
