//! Two databases that could keep the record, doing the same transaction: every payment of a batch
//! in one transaction, as their own users do it to share a sync.

use std::path::Path;

use anyhow::{Result, ensure};
use redb::{Database, Durability, ReadableTable, TableDefinition};
use rusqlite::{Connection, params};

use crate::group::{COUNTERS, Keeper, LIMIT, Payment};

const KEYS: TableDefinition<'_, (u32, u128), u64> = TableDefinition::new("keys");
const COUNTS: TableDefinition<'_, (u32, u8), u64> = TableDefinition::new("counts");
const ENTRIES: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("entries");

/// redb, with a durable commit for each batch.
pub(crate) struct Redb {
    database: Database,
    next: u64,
}

impl Redb {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { database: Database::create(path)?, next: 0 })
    }
}

impl Keeper for Redb {
    fn commit(&mut self, batch: &[Payment]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut keys = transaction.open_table(KEYS)?;
            let mut counts = transaction.open_table(COUNTS)?;
            let mut entries = transaction.open_table(ENTRIES)?;
            for Payment { agent, key, entry } in batch {
                ensure!(keys.get((*agent, *key))?.is_none(), "a key comes twice");
                self.next += 1;
                keys.insert((*agent, *key), self.next)?;
                for counter in 0..u8::try_from(COUNTERS)? {
                    let count = counts.get((*agent, counter))?.map_or(0, |count| count.value());
                    ensure!(count < LIMIT, "a counter is full");
                    counts.insert((*agent, counter), count + 1)?;
                }
                entries.insert((*agent, self.next), &**entry)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

/// `SQLite` with its log ahead, every commit synced.
pub(crate) struct Sqlite {
    connection: Connection,
    next: i64,
}

const SCHEMA: &str = "
    pragma journal_mode = wal;
    pragma synchronous = full;
    create table keys (agent integer, key blob, entry integer, primary key (agent, key))
        without rowid;
    create table counts (agent integer, counter integer, count integer,
        primary key (agent, counter)) without rowid;
    create table entries (agent integer, n integer, text blob, primary key (agent, n))
        without rowid;
";

impl Sqlite {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(SCHEMA)?;
        let mode: String = connection.query_row("pragma journal_mode", [], |row| row.get(0))?;
        let full: i64 = connection.query_row("pragma synchronous", [], |row| row.get(0))?;
        ensure!(mode == "wal" && full == 2, "SQLite does not sync: {mode} {full}");
        Ok(Self { connection, next: 0 })
    }
}

impl Keeper for Sqlite {
    fn commit(&mut self, batch: &[Payment]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut find =
                transaction.prepare_cached("select entry from keys where agent = ? and key = ?")?;
            let mut bind = transaction.prepare_cached("insert into keys values (?, ?, ?)")?;
            let mut read =
                transaction.prepare_cached("select counter, count from counts where agent = ?")?;
            let mut write =
                transaction.prepare_cached("insert or replace into counts values (?, ?, ?)")?;
            let mut add = transaction.prepare_cached("insert into entries values (?, ?, ?)")?;
            for Payment { agent, key, entry } in batch {
                let key = key.to_be_bytes();
                ensure!(!find.exists(params![agent, key])?, "a key comes twice");
                self.next += 1;
                bind.execute(params![agent, key, self.next])?;
                let mut counts = [0_i64; COUNTERS];
                let mut rows = read.query([agent])?;
                while let Some(row) = rows.next()? {
                    counts[usize::try_from(row.get::<_, i64>(0)?)?] = row.get(1)?;
                }
                for (counter, count) in (0_i64..).zip(counts) {
                    ensure!(u64::try_from(count)? < LIMIT, "a counter is full");
                    write.execute(params![agent, counter, count + 1])?;
                }
                add.execute(params![agent, self.next, &**entry])?;
            }
        }
        Ok(transaction.commit()?)
    }
}
