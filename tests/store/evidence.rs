//! A thousand damages by chance to real files: none is silent.

use std::{collections::BTreeMap, path::PathBuf};

use pettycash::engine::{recover::Places, verify};

use super::*;
use crate::support::private_dir;

const DAMAGES: u64 = 1_000;
/// The first seed; a failure prints its own.
const SEED: u64 = 20_261_122;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % most as u64).unwrap()
    }
}

fn read(root: &Path, dir: &Path, files: &mut Files) {
    for found in fs::read_dir(dir).unwrap() {
        let path = found.unwrap().path();
        if path.is_dir() {
            read(root, &path, files);
        } else {
            files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
}

fn files(root: &Path) -> Files {
    let mut files = Files::new();
    read(root, root, &mut files);
    files
}

/// Files as they are to be, in a directory that may hold others.
fn write(root: &Path, files: &Files) {
    for place in ["journal", "desk", "state"] {
        let place = root.join(place);
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    }
    for (path, bytes) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn open(root: &Path) -> Result<Store, StoreError> {
    let anchor: Arc<dyn pettycash::store::Disk> =
        Arc::new(FileDisk::shared(&root.join("state")).unwrap());
    let options = Options {
        anchor: Some(anchor),
        desk: Some(root.join("desk")),
        low_water: 0,
        ..options(4_000)
    };
    Store::open(Arc::new(file_disk(&root.join("journal"))), options)
}

/// A store on real files, as it was some time ago and as it is, and what it comes to.
fn template(root: &Path) -> (Files, Files, State, Vec<Record>) {
    write(root, &Files::new());
    let mut older = Files::new();
    for half in 0..2 {
        block_on(async {
            let store = open(root).unwrap();
            if half == 0 {
                commit(&store, vec![opened("scout"), opened("intern")]).await.unwrap();
            }
            for step in 0..12 {
                let agent = if step % 3 == 0 { "intern" } else { "scout" };
                commit(&store, vec![credit(agent, 10 + step)]).await.unwrap();
                let _ = deny(&store, "intern").await.unwrap();
            }
            if half == 1 {
                lower(&store, vec![revoked("intern")]).await.unwrap();
            }
            store.close().await;
        });
        if half == 0 {
            older = files(root);
        }
    }
    let mut state = State::default();
    let records = records(root, &mut state).unwrap();
    state.drain(false);
    (older, files(root), state, records)
}

fn records(root: &Path, state: &mut State) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    let disk = Arc::new(FileDisk::look(&root.join("journal"))?);
    replay(disk, None, |record| {
        record.fold(state);
        records.push(record.clone());
    })?;
    Ok(records)
}

/// Does one damage, and says what.
fn damage(chance: &mut Chance, now: &mut Files, older: &Files) -> String {
    let places = ["journal", "desk", "state"];
    let place = places[chance.below(3)];
    let names: Vec<PathBuf> = now.keys().filter(|name| name.starts_with(place)).cloned().collect();
    let name = names[chance.below(names.len())].clone();
    let kind = chance.below(6);
    let bytes = now.get_mut(&name).unwrap();
    // Most of a file is zeros that were written ahead; most damages are to hit what is not.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let length = if chance.below(4) == 0 { bytes.len() } else { used }.max(1);
    let at = chance.below(length).min(bytes.len().saturating_sub(1));
    match kind {
        _ if bytes.is_empty() => "nothing".to_owned(),
        0 | 1 => {
            let bit = chance.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} of {} flipped", name.display())
        }
        2 => {
            bytes.truncate(at);
            format!("{} truncated to {at}", name.display())
        }
        3 => {
            let from = at / 512 * 512;
            let end = (from + 512).min(bytes.len());
            bytes[from..end].fill(0);
            format!("{} zeroed from {from}", name.display())
        }
        4 => {
            let other = names[chance.below(names.len())].clone();
            let (one, two) = (now[&name].clone(), now[&other].clone());
            now.insert(name.clone(), two);
            now.insert(other.clone(), one);
            format!("{} and {} swapped", name.display(), other.display())
        }
        _ => {
            now.retain(|name, _| !name.starts_with(place));
            let then = older.iter().filter(|(name, _)| name.starts_with(place));
            now.extend(then.map(|(name, bytes)| (name.clone(), bytes.clone())));
            format!("an older copy of {place}")
        }
    }
}

/// What became of a damage that was not silent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Harmless,
    Repaired,
    Reported,
}

fn fate(root: &Path, state: &State, known: &[Record]) -> Result<Fate, String> {
    let Ok(store) = open(root) else { return Ok(Fate::Reported) };
    let (sealed, opened) = (store.condition().recording, store.opened().clone());
    let found = block_on(state_of(&store));
    block_on(store.close());
    drop(store);
    if matches!(sealed, Recording::Sealed(_)) {
        return Ok(Fate::Reported);
    }
    if found != *state {
        return Err("it opened sound in another state".to_owned());
    }
    let places = Places {
        journal: root.join("journal"),
        archive: None,
        desk: root.join("desk"),
        anchors: Some(root.join("state")),
    };
    let looked = (0..500).find_map(|_| match verify::Kept::look(&places) {
        Err(verify::VerifyError::InUse) => {
            std::thread::sleep(std::time::Duration::from_millis(10));
            None
        }
        looked => Some(looked),
    });
    match looked.expect("the locks").and_then(verify::Kept::verify) {
        Err(_) => return Ok(Fate::Reported),
        Ok(found) if !found.problems.is_empty() => return Ok(Fate::Reported),
        Ok(_) => {}
    }
    // What verifies is what was written, and at most what opening added.
    let found = records(root, &mut State::default()).map_err(|error| error.to_string())?;
    if found.get(..known.len()) != Some(known) {
        return Err("it verifies with other entries".to_owned());
    }
    let mended = opened.rebuilt || opened.adopted || opened.torn.is_some();
    Ok(if mended { Fate::Repaired } else { Fate::Harmless })
}

/// How many damaged stores are looked at at once: most of the time each waits for its syncs.
const LANES: u64 = 8;

#[test]
fn none_of_a_thousand_damages_is_silent() {
    let root = private_dir();
    let root = root.path();
    let (older, files, state, known) = template(root);
    assert!(files.keys().filter(|name| name.starts_with("journal")).count() > 3);
    write(root, &files);
    assert_eq!(fate(root, &state, &known), Ok(Fate::Harmless), "as it is");
    let fates = Mutex::new(BTreeMap::<Fate, u64>::new());
    let lane = |lane: u64| {
        let root = private_dir();
        for seed in (SEED..SEED + DAMAGES).filter(|seed| seed % LANES == lane) {
            let mut damaged = files.clone();
            let what = damage(&mut Chance(seed), &mut damaged, &older);
            write(root.path(), &damaged);
            let fate = std::panic::catch_unwind(|| fate(root.path(), &state, &known));
            let fate = fate.unwrap_or_else(|_| Err("it panicked".to_owned()));
            let fate = fate.unwrap_or_else(|problem| panic!("seed {seed}: {what}: {problem}"));
            *fates.lock().unwrap().entry(fate).or_default() += 1;
        }
    };
    std::thread::scope(|scope| {
        for nth in 0..LANES {
            let lane = &lane;
            scope.spawn(move || lane(nth));
        }
    });
    let fates = fates.into_inner().unwrap();
    assert_eq!(fates.values().sum::<u64>(), DAMAGES);
    let most = |fate| fates.get(&fate).copied().unwrap_or_default() > DAMAGES / 20;
    assert!([Fate::Harmless, Fate::Repaired, Fate::Reported].into_iter().all(most), "{fates:?}");
}
