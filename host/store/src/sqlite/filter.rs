//! Which calls are meant, as conditions on the tables `subjects`, `entries` and `aggregates`.

use crate::CallFilter;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use wares_model::{ComponentName, Outcome, TenantId};

/// Conditions, each ` AND column = ?`, and what they are bound to.
pub(super) struct Conditions {
    sql: String,
    values: Vec<String>,
}

impl Conditions {
    pub(super) fn of(filter: &CallFilter) -> Self {
        let CallFilter { tenant, application, component, version, function, outcome } = filter;
        let given = [
            ("subjects.tenant", tenant.as_ref().map(TenantId::to_string)),
            ("subjects.application", application.clone()),
            ("subjects.component", component.as_ref().map(ComponentName::to_string)),
            ("subjects.version", version.as_ref().map(ToString::to_string)),
            ("subjects.function", function.clone()),
            ("outcome", outcome.as_ref().map(Outcome::to_string)),
        ];
        let (mut sql, mut values) = (String::new(), Vec::new());
        for (column, value) in given {
            if let Some(value) = value {
                sql.push_str(&format!(" AND {column} = ?"));
                values.push(value);
            }
        }
        Self { sql, values }
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Binds the values, in the order of the conditions.
    pub(super) fn bind<'q>(self, query: Query<'q, Sqlite, SqliteArguments>) -> Query<'q, Sqlite, SqliteArguments> {
        self.values.into_iter().fold(query, Query::bind)
    }
}
