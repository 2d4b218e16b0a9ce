//! What the ledger holds of calls that components made: one entry each, with the call that made it.

use anyhow::{Context as _, Result};
use rusqlite::Connection;
use std::path::Path;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its id.
    pub call: String,
    /// The call that made it.
    pub parent: Option<String>,
    /// Whose it is: tenant and application.
    pub caller: (String, String),
    /// What was called.
    pub component: String,
    /// Its version.
    pub version: String,
    /// How it ended.
    pub outcome: String,
    /// What it used itself.
    pub cpu_us: u64,
    /// Why it failed.
    pub detail: String,
}

/// All entries of the shelf in this data directory, oldest first.
pub(crate) fn entries(data_dir: &Path) -> Result<Vec<Entry>> {
    let connection = Connection::open(data_dir.join("wares.sqlite"))?;
    let mut statement = connection.prepare(
        "SELECT call, parent, tenant, application, component, version, outcome, cpu_us, COALESCE(detail, '')
         FROM entries JOIN subjects ON subjects.id = entries.subject ORDER BY started, call",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Entry {
            call: id(&row.get::<_, Vec<u8>>(0)?),
            parent: row.get::<_, Option<Vec<u8>>>(1)?.map(|parent| id(&parent)),
            caller: (row.get(2)?, row.get(3)?),
            component: row.get(4)?,
            version: row.get(5)?,
            outcome: row.get(6)?,
            cpu_us: row.get::<_, i64>(7)?.unsigned_abs(),
            detail: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The entry of this component, which there is one of.
pub(crate) fn of<'a>(entries: &'a [Entry], component: &str) -> Result<&'a Entry> {
    let mut found = entries.iter().filter(|entry| entry.component == component);
    let first = found.next().with_context(|| format!("no entry of {component}: {entries:#?}"))?;
    anyhow::ensure!(found.next().is_none(), "several entries of {component}: {entries:#?}");
    Ok(first)
}

fn id(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
