//! `mandate show` and `set`.

use serde_json::{Value, json};

use super::Desk;

fn whats(answer: &Value) -> Vec<&str> {
    let changes = answer["changes"].as_array().unwrap().iter();
    changes.map(|change| change["what"].as_str().unwrap()).collect()
}

#[test]
fn that_nothing_bounds_the_number_is_said_where_a_change_has_to_do_with_it() {
    let desk = Desk::new();
    desk.ok("service add report --payee Acme --no-price");
    desk.ok("agent create scout --cap 5.00/day --funding allowance");
    let told = |asked: &str| {
        desk.ok(&format!("mandate set scout --dry-run {asked}")).contains("nothing bounds how many")
    };
    assert!(told("--cap 4.00/day") && told("--allow report"));
    assert!(!told("--per-call 0.10") && !told("--expires 3d") && !told("--first-payee locked"));
    let policy = |per_call: &str| {
        let rules = "[agents.scout]\nfunding = \"allowance\"\ncaps = [\"5.00/day\"]";
        desk.apply(&format!("schema = 1\n{rules}\nper_call = \"{per_call}\"\n"))
    };
    assert!(!policy("0.10").contains("nothing bounds how many"));
}

#[test]
fn only_what_is_named_changes_and_it_is_shown() {
    let desk = Desk::new();
    desk.ok("agent create night --cap 1.00/hour --cap 5.00/day --per-call 0.25 \
             --timezone Europe/Paris --funding allowance --allow search --expires 30d");
    let before = desk.json("mandate show night --json");
    let told = desk.ok("mandate set night --cap 3.00/day --cap 4.00/24h --no-cap hour");
    for line in [
        "cap per hour     $1.00  →  none   gives more",
        "cap per day      $5.00  →  $3.00",
        "cap in any 24 h  none   →  $4.00",
        "note: the new cap in any 24 h counts from now on",
        "Set. night can spend $3.00 now.",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    let after = desk.json("mandate show night --json");
    assert_eq!(
        after["caps"],
        json!([{"period": "day", "cap_usd": "3.00"}, {"period": "rolling_24h", "cap_usd": "4.00"}])
    );
    for same in ["funding", "per_call_limit_usd", "timezone", "allow", "expires_at"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(desk.json("ledger night --json")["entries"][0]["outcome"], "mandate_set");
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn stops_are_set_shown_and_taken_away_and_what_loosens_is_told() {
    let desk = Desk::new();
    desk.ok("agent create eager --cap 5.00/day --funding allowance --rate 20/min --rate 5/10s \
             --burst 5/min:freeze --denials 10:throttle");
    let view = desk.json("mandate show eager --json");
    assert_eq!(view["rates"], json!(["20/min", "5/10s"]));
    assert_eq!((&view["burst"], &view["denials"]), (&json!("5/min:freeze"), &json!("10:throttle")));
    for verb in ["agent show eager", "mandate show eager"] {
        let told = desk.ok(verb);
        for line in [
            "at most 20 payments in any minute",
            "freeze at more than 5 equal in any minute",
            "throttle at 10 in a row",
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
    }
    let told = desk.ok("ledger eager --limit 1");
    assert!(told.contains("20/min payments, 5/10s payments, 5/min:freeze equal"), "{told}");
    let loosens = |flags: &str| -> Vec<bool> {
        let set = desk.json(&format!("mandate set eager {flags} --dry-run --json"));
        let changes = set["changes"].as_array().unwrap().iter();
        changes.map(|change| change["loosens"].as_bool().unwrap()).collect()
    };
    assert_eq!(loosens("--rate 10/min --burst 4/min:freeze --denials 5:freeze"), [false; 3]);
    assert_eq!(loosens("--rate 21/min --burst 5/min:flag --denials 11:throttle"), [true; 3]);
    assert_eq!(loosens("--no-rate min --no-burst --no-denials"), [true; 3]);
    assert_eq!(loosens("--burst 5/hour:freeze"), [true], "it counts anew");
    assert_eq!(loosens("--rate 1/hour"), [false]);
    desk.ok("mandate set eager --no-rate min --no-burst --no-denials");
    let view = desk.json("mandate show eager --json");
    assert_eq!(view["rates"], json!(["5/10s"]));
    assert!(view.get("burst").is_none() && view.get("denials").is_none());
    let wrong = desk.fails("mandate set eager --rate 5/min --no-rate min", 1);
    assert!(wrong.contains("set and taken away at once"), "{wrong}");
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn hours_days_and_a_cooldown_are_set_shown_and_taken_away() {
    let desk = Desk::new();
    desk.ok("agent create clerk --cap 5.00/day --funding allowance --timezone Europe/Paris \
             --hours 13:00-18:00,09:00-12:00 --days mon-fri --cooldown min");
    let view = desk.json("mandate show clerk --json");
    assert_eq!(view["hours"], "09:00-12:00,13:00-18:00");
    assert_eq!(view["days"], json!(["mon", "tue", "wed", "thu", "fri"]));
    assert_eq!(view["cooldown"], "min");
    for verb in ["agent show clerk", "mandate show clerk", "ledger clerk --limit 1"] {
        let told = desk.ok(verb);
        for line in ["1min between two payments", "mon-fri 09:00-12:00,13:00-18:00"] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
    }
    let set =
        desk.json("mandate set clerk --days sat,sun --hours 00:00-24:00 --cooldown 30s --json");
    assert_eq!(whats(&set), ["cooldown", "active hours"]);
    assert!(set["changes"].as_array().unwrap().iter().all(|change| change["loosens"] == true));
    desk.ok("mandate set clerk --no-days --no-hours --no-cooldown");
    let view = desk.json("mandate show clerk --json");
    assert!(["hours", "days", "cooldown"].iter().all(|key| view.get(*key).is_none()), "{view}");
    let wrong = desk.fails("agent create night --hours 22-6", 2);
    assert!(wrong.contains("hours are HH:MM-HH:MM"), "{wrong}");
    assert_eq!(desk.ok("verify"), "");
}

#[test]
fn a_dry_run_shows_the_same_and_sets_nothing() {
    let desk = Desk::new();
    desk.ok("agent create scout --cap 5.00/day --funding allowance");
    let before = desk.json("mandate show scout --json");
    let dry = desk.json("mandate set scout --cap 3.00/day --per-call 0.10 --dry-run --json");
    assert_eq!(dry["applied"], false);
    assert_eq!(whats(&dry), ["limit per payment", "cap per day"]);
    assert_eq!(dry["agent"]["caps"][0]["cap_usd"], "5.00");
    assert_eq!(desk.json("mandate show scout --json"), before);
    assert!(desk.ok("mandate set scout --no-cap week --cap 5.00/day").contains("nothing to do"));
    assert!(desk.ok("mandate set scout --cap 1.00/day --dry-run").ends_with("a dry run.\n"));
    assert_eq!(desk.json("ledger scout --json")["entries"].as_array().unwrap().len(), 1);
    let wrong = desk.fails("mandate set scout --no-cap day --dry-run", 1);
    assert!(wrong.contains("needs at least one cap"), "what is refused is refused: {wrong}");
    let set = desk.json("mandate set scout --cap 3.00/day --per-call 0.10 --json");
    assert_eq!((&set["applied"], &set["changes"]), (&json!(true), &dry["changes"]));
    assert_eq!(set["agent"]["caps"][0]["cap_usd"], "3.00");
}

#[test]
fn a_cap_below_what_is_used_is_set_and_said() {
    let desk = Desk::new();
    desk.ok("service add report --payee Acme --no-price");
    desk.ok("agent create scout --cap 5.00/day --funding allowance");
    desk.ok("pay scout report 2.00");
    let told = desk.ok("mandate set scout --cap 1.50/day");
    let said = "$2.00 counts under today's cap of $1.50: nothing more is paid until";
    assert!(told.contains(said), "{told}");
    assert!(told.ends_with("Set. scout can spend $0.00 now.\n"), "{told}");
}

#[test]
fn services_are_added_and_taken_by_name() {
    let desk = Desk::new();
    desk.ok("agent create scout");
    let services = |line: &str| {
        let told = desk.ok(&format!("mandate set scout {line}"));
        let shown = desk.ok("mandate show scout");
        let services = shown.lines().find_map(|line| line.trim().strip_prefix("services")).unwrap();
        (services.trim().to_owned(), told)
    };
    assert_eq!(services("--allow search --allow report").0, "report, search");
    assert_eq!(services("--allow maps --deny ads").0, "maps, report, search; never ads");
    assert_eq!(services("--no-allow maps").0, "report, search; never ads");
    let (now, told) = services("--allow ads");
    assert_eq!(now, "ads, report, search; never ads");
    assert!(told.contains("note: `ads` is denied too, and what is denied stays unpaid"), "{told}");
    assert!(told.contains("note: the catalogue has no service `ads`"), "{told}");
    assert_eq!(services("--no-deny ads").0, "ads, report, search");
    assert_eq!(services("--allow-all --allow maps").0, "maps");
    let wrong = desk.fails("mandate set scout --no-allow maps", 1);
    assert!(wrong.contains("`maps` is the last service that is allowed"), "{wrong}");
    assert_eq!(services("--allow-all").0, "all");
}

#[test]
fn a_limit_an_end_and_a_zone_come_and_go() {
    let desk = Desk::new();
    desk.ok("agent create scout --per-call 0.25 --expires 30d");
    let set = desk.json("mandate set scout --no-per-call --no-expiry --json");
    assert_eq!(whats(&set), ["limit per payment", "expires"]);
    let shown = desk.ok("mandate show scout");
    assert!(shown.contains("no limit") && shown.contains("never"), "{shown}");
    let set = desk.json(
        "mandate set scout --per-call 0.50 --expires 2100-01-01T00:00:00Z --timezone Asia/Tokyo \
         --json",
    );
    assert_eq!(whats(&set), ["limit per payment", "time zone", "expires"]);
    let shown = desk.json("mandate show scout --json");
    assert_eq!(shown["timezone"], "Asia/Tokyo");
    assert_eq!(shown["expires_at"], "2100-01-01T00:00:00Z");
}

#[test]
fn a_change_that_makes_no_sense_is_refused_with_a_hint() {
    let desk = Desk::new();
    desk.ok("agent create scout");
    for line in [
        "mandate set scout",
        "mandate set scout --dry-run",
        "mandate set scout --per-call 1 --no-per-call",
        "mandate set scout --expires 30d --no-expiry",
        "mandate set scout --expires 2020-01-01T00:00:00Z",
        "mandate set scout --cap 5/fortnight",
        "mandate set scout --no-cap fortnight",
        "mandate set scout --funding allowance",
        "mandate set",
    ] {
        let told = desk.fails(line, 2);
        assert!(told.starts_with("error: ") && told.contains("hint: "), "{line}: {told}");
    }
    for (line, code) in [
        ("mandate show ghost", "agent_unknown"),
        ("mandate set ghost --per-call 1", "agent_unknown"),
        ("mandate set scout --cap 1/day --cap 2/day", "mandate_invalid"),
        ("mandate set scout --cap 1/day --no-cap day", "mandate_invalid"),
        ("mandate set scout --allow a --deny a", "mandate_invalid"),
        ("mandate set scout --per-call 0", "mandate_invalid"),
    ] {
        let told: Value = serde_json::from_str(&desk.fails(&format!("{line} --json"), 1)).unwrap();
        assert_eq!(told["error"]["code"], code, "{line}");
        assert!(
            told["error"]["hint"].is_string() || line.ends_with("2/day") || line.ends_with('0')
        );
    }
    desk.ok("agent revoke scout --reason gone");
    assert!(desk.fails("mandate set scout --per-call 1", 1).contains("revoked for good"));
}

#[test]
fn what_two_operators_change_at_once_is_all_there_afterwards() {
    let desk = Desk::new();
    desk.ok("agent create scout");
    let operator = desk.operator();
    let scout = "scout".parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let changes = (0..40).map(|n| {
            let (operator, scout): (_, pettycash::policy::names::Handle) =
                (operator.clone(), Clone::clone(&scout));
            let patch = json!({"deny": [format!("s{n}")]});
            tokio::spawn(async move {
                let patch = serde_json::from_value(patch).unwrap();
                operator.change_mandate(&scout, &patch).await.unwrap()
            })
        });
        for change in changes.collect::<Vec<_>>() {
            assert!(change.await.unwrap().applied);
        }
    });
    let shown = desk.json("mandate show scout --json");
    assert_eq!(shown["deny"].as_array().unwrap().len(), 40);
}
