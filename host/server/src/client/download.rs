//! Answers that are too large for memory: they go to a file as they come.

use super::{Answer, Client, ClientError, REFUSAL_BYTES_MAX, innermost};
use reqwest::header::AUTHORIZATION;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// For a whole download.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a download did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The host refused, or the stream broke.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The file cannot be written.
    #[error("writing what is received: {0}")]
    File(#[from] std::io::Error),
}

impl Client {
    /// Saves what is at `path` in a file. A stream that breaks is an error: no part passes for the whole.
    pub async fn save(&self, path: &str, file: &mut File) -> Result<(), DownloadError> {
        let url = format!("{}{path}", self.base);
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: self.base.clone(),
            reason: innermost(&error.without_url()),
        };
        let request = self.http.get(&url).header(AUTHORIZATION, format!("Bearer {}", self.key));
        let mut response = request.timeout(DOWNLOAD_TIMEOUT).send().await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let body = self.body(&mut response, REFUSAL_BYTES_MAX).await?;
            return Err(Answer { status, headers, body, url }.into_problem().into());
        }
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            file.write_all(&chunk).await?;
        }
        Ok(file.flush().await?)
    }
}
