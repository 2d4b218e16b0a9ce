//! Who may see a job, end it, and have it made again.

use wares_model::TenantId;
use wares_store::{JobQuery, JobRecord};

/// Who asks for jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// An operator, who sees all.
    Operator,
    /// A tenant's application, which sees those that it made, and those of its tenant's schedules, which none made.
    Application {
        /// The tenant.
        tenant: TenantId,
        /// Its application.
        name: String,
    },
}

impl Viewer {
    /// Whether it may see this one.
    pub(crate) fn sees(&self, job: &JobRecord) -> bool {
        match self {
            Self::Operator => true,
            Self::Application { tenant, name } => {
                job.tenant == *tenant && (job.application == *name || job.due.is_some())
            }
        }
    }

    /// The query narrowed to what it may see.
    pub fn narrowed(&self, query: JobQuery) -> JobQuery {
        match self {
            Self::Operator => query,
            Self::Application { tenant, name } => {
                JobQuery { tenant: Some(tenant.clone()), application: Some(name.clone()), ..query }
            }
        }
    }
}
