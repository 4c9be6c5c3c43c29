//! What is asked at a terminal: a real one, with somebody who types.

use super::*;
use crate::support::terminal::{CTRL_C, CTRL_D, Terminal};

const SECRET: &str = "correct horse battery";

impl Desk {
    /// Somebody types a line at a terminal.
    fn typed(&self, line: &str) -> Terminal {
        Terminal::run(env!("CARGO_BIN_EXE_pettycash"), &words(line), |command| {
            self.furnish(command);
        })
    }

    fn is_initialised(&self) -> bool {
        self.run("top-up intern 1.00").status.code() == Some(7)
    }
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.ok("agent create intern");
    desk
}

/// A desk whose passphrase was typed, twice.
fn initialised() -> Desk {
    let desk = desk();
    let mut terminal = desk.typed("operator init");
    terminal.shows("New passphrase: ").types_unseen(&format!("{SECRET}\r"));
    terminal.shows("Once more: ").types_unseen(&format!("{SECRET}\r"));
    let (code, seen) = terminal.ends();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("The passphrase is set") && !seen.contains("horse"), "{seen}");
    desk
}

#[test]
fn a_passphrase_is_typed_twice_and_never_seen_and_opens_what_it_is_for() {
    let desk = initialised();
    assert!(desk.is_initialised());
    let balance = || desk.json("agent show intern --json")["balance_usd"].clone();
    for (typed, ends, then) in [(SECRET, 0, "1.00"), ("correct horse batterx", 7, "1.00")] {
        let mut terminal = desk.typed("top-up intern 1.00");
        // What changes is told before it is asked for.
        terminal.shows("This adds $1.00 to the balance of intern.");
        terminal.shows("Operator's passphrase: ").types_unseen(&format!("{typed}\r"));
        let (code, seen) = terminal.ends();
        assert_eq!(code, ends, "{seen}");
        assert!(!seen.contains("horse"), "{seen}");
        assert_eq!(balance(), then);
    }
    // Another one takes the present one.
    let mut terminal = desk.typed("operator init --replace");
    terminal.shows("New passphrase: ").types_unseen("another one by now\r");
    terminal.shows("Once more: ").types_unseen("another one by now\r");
    terminal.shows("This replaces the operators' passphrase.");
    terminal.shows("Operator's passphrase: ").types_unseen(&format!("{SECRET}\r"));
    assert_eq!(terminal.ends().0, 0);
    let mut terminal = desk.typed("top-up intern 1.00");
    terminal.shows("Operator's passphrase: ").types_unseen("another one by now\r");
    assert_eq!(terminal.ends().0, 0);
    assert_eq!(balance(), "2.00");
}

#[test]
fn what_is_asked_for_is_told_whole_before_the_passphrase() {
    let desk = initialised();
    let caps = "--cap 5.00/day --cap 1.00/run --per-call 0.25";
    for (line, parts) in [
        ("pay intern report 0.05", &["pays report at most $0.05 from the budget of intern."][..]),
        ("pay intern search", &["pays search its price from the budget of intern."]),
        (
            &*format!("agent create x9 {caps} --funding allowance --allow search --no-local"),
            &["x9: allowance, $5.00 per day, $1.00 per run, at most $0.25 per payment", "search"],
        ),
        ("agent create x8 --expires 2100-01-02T03:04:05Z", &["prepaid", "2100-01-02T03:04:05Z"]),
        (
            "agent token intern --expires 2100-01-02T03:04:05Z --label laptop --run nightly",
            &["lets intern in, until 2100-01-02T03:04:05Z, in the run nightly, called laptop."],
        ),
        (
            "operator token --expires 2100-01-02T03:04:05Z --label ci",
            &["an operator, until 2100-01-02T03:04:05Z, called ci."],
        ),
        ("operator token", &["an operator, until it is revoked."]),
        ("init --agent second --yes", &["second: allowance, $5.00 per day, at most $0.25"]),
    ] {
        let mut terminal = desk.typed(line);
        terminal.shows("Operator's passphrase: ").types_unseen(CTRL_D);
        let (_, seen) = terminal.ends();
        let before = seen.split("Operator's passphrase: ").next().unwrap();
        for part in parts {
            assert!(before.contains(part), "{line}: {part} is not in {seen}");
        }
    }
}

#[test]
fn a_passphrase_that_is_typed_differently_or_not_at_all_is_none() {
    let desk = desk();
    for (first, second, ends, told) in [
        ("correct horse\r", "correct house\r", 2, "the two are not the same"),
        ("\r", "\r", 1, "8 characters at least"),
        ("short\r", "short\r", 1, "8 characters at least"),
    ] {
        let mut terminal = desk.typed("operator init");
        terminal.shows("New passphrase: ").types_unseen(first);
        terminal.shows("Once more: ").types_unseen(second);
        let (code, seen) = terminal.ends();
        assert_eq!(code, ends, "{seen}");
        assert!(seen.contains(told), "{seen}");
    }
    assert!(!desk.is_initialised());
}

#[test]
fn ctrl_c_at_a_passphrase_leaves_the_terminal_as_it_was_and_does_nothing() {
    let desk = desk();
    for (key, told) in [(CTRL_C, "interrupted"), (CTRL_D, "nothing was typed")] {
        let mut first = desk.typed("operator init");
        first.shows("New passphrase: ").types_unseen(key);
        let mut second = desk.typed("operator init");
        second.shows("New passphrase: ").types_unseen(&format!("{SECRET}\r"));
        second.shows("Once more: ").types_unseen(key);
        for (code, seen) in [first.ends(), second.ends()] {
            assert_eq!(code, 1, "{seen}");
            assert!(seen.contains(told), "{seen}");
        }
    }
    assert!(!desk.is_initialised());
    let desk = initialised();
    let mut terminal = desk.typed("top-up intern 1.00");
    terminal.shows("Operator's passphrase: ").types_unseen(&format!("corr{CTRL_C}"));
    let (code, seen) = terminal.ends();
    assert!(code == 1 && seen.contains("interrupted"), "{seen}");
    assert_eq!(desk.json("agent show intern --json")["balance_usd"], "0.00");
}

#[test]
fn connect_writes_what_it_showed_after_a_yes_and_nothing_after_anything_else() {
    let desk = Desk::new();
    desk.ok("init --yes");
    let config = desk.home().join("user/.cursor/mcp.json");
    for (typed, ends) in [("n\r", 1), ("\r", 1), ("maybe\r", 1), (CTRL_D, 1), (CTRL_C, 130)] {
        let mut terminal = desk.typed("connect cursor");
        terminal.shows("\"pettycash\": {").shows("Write this? [y/N] ").types(typed);
        let (code, seen) = terminal.ends();
        assert_eq!(code, ends, "{typed:?}: {seen}");
        assert!(typed == CTRL_C || seen.contains("Nothing was changed."), "{typed:?}: {seen}");
        assert!(!config.exists(), "{typed:?}");
    }
    let mut terminal = desk.typed("connect cursor");
    terminal.shows("Write this? [y/N] ").types("y\r");
    let (code, seen) = terminal.ends();
    assert!(code == 0 && seen.contains("Cursor is connected as `claude`."), "{seen}");
    assert!(config.exists());
    let mut terminal = desk.typed("disconnect cursor");
    terminal.shows("Do this? [y/N] ").types("n\r");
    assert_eq!(terminal.ends().0, 1);
    assert!(config.exists());
    let mut terminal = desk.typed("disconnect cursor");
    terminal.shows("Do this? [y/N] ").types("yes\r");
    assert_eq!(terminal.ends().0, 0);
    assert!(!config.exists());
}

#[test]
fn init_asks_before_it_creates_an_agent() {
    let desk = Desk::new();
    let question =
        "Create the agent `claude` with $5.00 per day, at most $0.25 per payment? [Y/n] ";
    let mut terminal = desk.typed("init");
    terminal.shows(question).types("n\r");
    let (code, seen) = terminal.ends();
    assert!(code == 0 && seen.contains("claude, not created"), "{seen}");
    assert_eq!(desk.json("agent list --json")["agents"].as_array().unwrap().len(), 0);
    let mut terminal = desk.typed("init");
    terminal.shows(question).types("\r");
    assert_eq!(terminal.ends().0, 0);
    assert_eq!(desk.json("agent list --json")["agents"].as_array().unwrap().len(), 1);
}
