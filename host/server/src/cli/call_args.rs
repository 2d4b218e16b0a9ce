//! Flags that say which calls are meant.

use wares_model::{ComponentName, Outcome, TenantId, TimeOrDay, Version};

/// Which calls: those for which all that is given holds.
#[derive(Debug, clap::Args)]
pub struct CallArgs {
    /// Of this component
    #[arg(value_name = "NAME")]
    component: Option<ComponentName>,
    /// That this version served
    #[arg(long)]
    version: Option<Version>,
    /// Of this function
    #[arg(long)]
    function: Option<String>,
    /// Of this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Of this of a tenant's systems
    #[arg(long)]
    application: Option<String>,
    /// That ended so, as trap, limit-cpu, component-error or ok
    #[arg(long)]
    outcome: Option<Outcome>,
    /// From this time on, as 2026-11-24T08:00:00+08:00, or from the start of a day in the shelf's time zone, as 2026-11-24
    #[arg(long, value_name = "TIME")]
    from: Option<TimeOrDay>,
    /// Before this time or day
    #[arg(long, value_name = "TIME")]
    to: Option<TimeOrDay>,
}

impl CallArgs {
    /// As the API takes them.
    pub(super) fn parameters(self) -> impl Iterator<Item = (&'static str, Option<String>)> {
        [
            ("component", self.component.map(|name| name.to_string())),
            ("version", self.version.map(|version| version.to_string())),
            ("function", self.function),
            ("tenant", self.tenant.map(|tenant| tenant.to_string())),
            ("application", self.application),
            ("outcome", self.outcome.map(|outcome| outcome.to_string())),
            ("from", self.from.map(|from| from.to_string())),
            ("to", self.to.map(|to| to.to_string())),
        ]
        .into_iter()
    }
}
