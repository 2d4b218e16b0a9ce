//! `wares gc`: away with files that nothing on the shelf refers to.

use super::Settings;
use super::components::{cell, number};
use crate::client::{Access, Body, Role};
use crate::exit::Exit;
use crate::output::{self, Format, table};
use reqwest::Method;
use serde_json::{Value, json};

/// Removes files.
#[derive(Debug, clap::Args)]
pub struct Gc {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

impl Gc {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let method = if self.dry_run { Method::GET } else { Method::DELETE };
        let (mut files, mut size_bytes, mut more) = (Vec::new(), 0, true);
        while more {
            let run: Value = client.send(method.clone(), "/v1/garbage", Body::None).await?.json()?;
            files.extend(run.get("files").and_then(Value::as_array).into_iter().flatten().cloned());
            size_bytes += number(&run, "/size-bytes");
            more = run.get("more") == Some(&Value::Bool(true));
            if self.dry_run {
                break;
            }
        }
        let all = json!({"files": files, "size-bytes": size_bytes, "more": more});
        self.format.print(&all, |_| {
            let rows = files
                .iter()
                .map(|file| [cell(file, "/kind"), output::bytes(number(file, "/size-bytes")), cell(file, "/name")]);
            let list = table(&["kind", "size", "name"], rows, "nothing to remove: everything is referred to");
            let done = if self.dry_run { "would go" } else { "removed" };
            let rest = if more { ", and more" } else { "" };
            match files.is_empty() {
                true => list,
                false => format!("{list}\n{done}: {} files, {}{rest}", files.len(), output::bytes(size_bytes)),
            }
        })?;
        Ok(Exit::Ok)
    }
}
