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
        "below     org",
        "cap       5 payments per day category=web of team: 1 used, 0 held",
        "agents    scout",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    let listed = desk.ok("group list");
    assert!(listed.contains("org    -      0       $9.00 per day"), "{listed}");
    let agent = desk.ok("agent show scout");
    assert!(agent.contains("group"), "{agent}");
    assert!(agent.contains("$9.00 per day of org: $0.02 used"), "{agent}");
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
