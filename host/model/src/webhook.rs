//! Where an application is told of the end of its jobs.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// An address that is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WebhookTarget {
    /// An http or https URL.
    pub url: String,
    /// Private, loopback and other special addresses that the URL's host may have; all others of these kinds are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
}
