//! `group list`, `show` and `remove`, and what puts an agent into one.

use super::Desk;

#[test]
fn groups_are_listed_shown_and_taken_away() {
    let desk = Desk::new();
    assert!(desk.ok("group list").contains("No groups yet"));
    desk.ok("service add search --payee Acme --price 0.02 --category web");
    desk.apply(
        "schema = 1\n[groups.org]\ncaps = [\"9.00/day\"]\n\
                [groups.team]\nparent = \"org\"\ncaps = [\"5x/day category=web\"]\n",
    );
    desk.ok("agent create scout --cap 5.00/day --funding allowance --group team");
    desk.ok("pay scout search");
    let shown = desk.ok("group show team");
    for line in [
        "parent    org",
        "cap       5 payments per day category=web of team: 1 used, 0 held, 4 left, resets ",
        "agents    scout",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    let listed = desk.ok("group list");
    let cells = |row: &str| row.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows: Vec<String> = listed.lines().map(cells).collect();
    for row in [
        "GROUP PARENT AGENTS CAP USED HELD LEFT",
        "org - 0 $9.00 per day $0.02 $0.00 $8.98",
        "team org 1 5 payments per day category=web 1 0 4",
    ] {
        assert!(rows.iter().any(|one| one == row), "{row} is not in\n{listed}");
    }
    let agent = desk.ok("agent show scout");
    assert!(agent.contains("group"), "{agent}");
    assert!(agent.contains("$9.00 per day of org: $0.02 used, $0.00 held, $8.98 left"), "{agent}");
    let refused = desk.fails("group remove team", 1);
    assert!(refused.contains("is in use"), "{refused}");
    let told = desk.ok("mandate set scout --no-group");
    assert!(told.contains("group  team  →  none  gives more"), "{told}");
    desk.ok("group remove team");
    assert_eq!(desk.json("group list --json")["groups"].as_array().unwrap().len(), 1);
    let unknown = desk.fails("agent create other --group nobody", 1);
    assert!(unknown.contains("there is no group `nobody`"), "{unknown}");
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn a_group_that_is_lowered_tells_whom_that_passes_by_and_what_is_spent() {
    let desk = Desk::new();
    desk.ok("service add search --payee Acme --price 0.50");
    desk.apply(
        "schema = 1\n[groups.org]\ncaps = [\"9.00/day\"]\n[groups.unit]\nparent = \"org\"\n\
         [groups.team]\nparent = \"unit\"\ncaps = [\"5.00/day\", \"2.00/hour\"]\n",
    );
    desk.ok("agent create scout --cap 5.00/day --funding allowance --group team");
    for _ in 0..3 {
        desk.ok("pay scout search");
    }
    let dry = |policy: &str| {
        let told = desk.fed("apply - --dry-run", policy.as_bytes());
        assert!(told.status.success());
        let (out, err) = (told.stdout, told.stderr);
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let (out, err) = dry("schema = 1\n[groups.org]\ncaps = [\"1.50/day\"]\n");
    let warned = "the cap of $2.00 per hour of `team` is above that of $1.50 per day of `org`";
    assert!(err.contains(&format!("warning[cap_above_group]: {warned}")), "{err}");
    assert!(err.contains("^^^^^^^^^^ `team`, which is not in the file, has more"), "{err}");
    let spent = "note: $1.50 counts under today's cap of $1.50: nothing more is paid until ";
    assert!(out.contains(spent), "{out}");
    let policy = "schema = 1\n[groups.org]\ncaps = [\"6.00/day\"]\ntimezone = \"Asia/Tokyo\"\n";
    let (out, err) = dry(policy);
    assert_eq!(err, "", "it is above what is below it");
    assert!(!out.contains("counts under"), "{out}");
    assert!(out.contains("ends at a boundary in Asia/Tokyo; nothing opens at once"), "{out}");
    // What was so before is no news.
    desk.apply("schema = 1\n[groups.org]\ncaps = [\"1.50/day\"]\n");
    let (_, err) = dry("schema = 1\n[groups.org]\ncaps = [\"1.00/day\"]\n");
    assert_eq!(err, "");
}

#[test]
fn wherever_a_cap_is_told_it_is_said_whose_it_is() {
    let desk = Desk::new();
    desk.apply(
        "schema = 1\n[groups.org]\ncaps = [\"9.00/day\"]\n[groups.bare]\n\
         [groups.team]\nparent = \"org\"\ncaps = [\"0.04/day\"]\n",
    );
    let created = desk.ok("agent create scout --cap 5.00/day --funding allowance --group team");
    let caps = "$5.00 per day, $0.04 per day of team, $9.00 per day of org";
    for told in [created, desk.ok("agent list")] {
        assert!(told.contains(caps), "{caps} is not in\n{told}");
    }
    let mandate = desk.ok("mandate show scout");
    for line in ["cap       $5.00 per day\n", "cap       $0.04 per day of team\n"] {
        assert!(mandate.contains(line), "{line} is not in\n{mandate}");
    }
    let bare = desk.ok("group list");
    let bare = bare.lines().find(|row| row.contains("bare")).unwrap();
    assert_eq!(
        bare.split_whitespace().collect::<Vec<_>>(),
        ["bare", "-", "0", "none", "-", "-", "-"]
    );
    // What is lowered below what counts under it leaves nothing, and no less than that.
    desk.ok("service add search --payee Acme --price 0.02");
    desk.ok("pay scout search");
    desk.apply("schema = 1\n[groups.team]\nparent = \"org\"\ncaps = [\"0.01/day\"]\n");
    let left = desk.ok("group show team");
    assert!(left.contains("$0.02 used, $0.00 held, $0.00 left"), "{left}");
}
