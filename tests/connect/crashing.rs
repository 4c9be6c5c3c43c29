//! A run that ends halfway: whatever of it was done can be undone.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::Machine;

impl Machine {
    /// What is kept of the one configuration that was written to.
    fn receipt(&self) -> Value {
        let kept = fs::read_dir(self.path("state/pettycash-clients")).unwrap();
        let mut kept = kept.map(|file| file.unwrap().path());
        let receipt = kept.find(|path| path.extension().is_some_and(|e| e == "json")).unwrap();
        serde_json::from_slice(&fs::read(receipt).unwrap()).unwrap()
    }
}

/// A machine whose `serve` lives as long as it does, with a second agent, connected as the first
/// by a configuration of some length; and the text of that before.
fn connected() -> (Machine, String) {
    let machine = Machine::new().with("PETTYCASH_IDLE_EXIT", "60s");
    machine.ok("agent create scout --funding prepaid");
    let text = format!("// {}\n{{\"z\":   1}}\n", "long ".repeat(1_000));
    machine.write("cursor", &text);
    machine.ok("connect cursor --yes");
    (machine, text)
}

#[test]
fn what_undoes_a_change_is_kept_before_the_file_is_written() {
    let (machine, text) = connected();
    let written = machine.read("cursor");
    // The receipt fits into so small a file, the configuration does not.
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", "ulimit -f 2; exec \"$@\"", "sh", super::BINARY]);
    let done =
        machine.furnish(&mut limited, "connect cursor --agent scout --yes").output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(told.contains("could not write"), "{told}");
    assert_eq!(machine.read("cursor"), written, "the file is as it was");
    assert_eq!(machine.receipt()["entry"]["args"], json!(["mcp", "--agent", "scout"]));
    assert_eq!(machine.status("cursor")["agent"], "claude");
    machine.ok("disconnect cursor --yes");
    assert_eq!(machine.read("cursor"), text);
}

#[test]
fn a_receipt_whose_change_never_happened_keeps_nobody_from_undoing_what_did() {
    let (machine, text) = connected();
    let written = machine.read("cursor");
    for _ in 0..2 {
        machine.ok("connect cursor --agent scout --yes");
        // As if it had been ended between the receipt and the file.
        machine.write("cursor", &written);
        assert_eq!(machine.status("cursor")["agent"], "claude");
        assert_eq!(machine.json("connect cursor")["changed"], false);
    }
    let told = machine.json("disconnect cursor --yes");
    assert_eq!((&told["ours"], &told["restored"]), (&json!(true), &json!(true)));
    assert_eq!(machine.read("cursor"), text);

    // And the first one of all.
    machine.ok("connect cursor --yes");
    machine.write("cursor", &text);
    assert_eq!(machine.status("cursor")["state"], "not_connected");
    assert!(machine.ok("disconnect cursor --yes").contains("nothing to undo"));
    assert_eq!(machine.read("cursor"), text);
    let left: Vec<_> = fs::read_dir(machine.path("state/pettycash-clients")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
