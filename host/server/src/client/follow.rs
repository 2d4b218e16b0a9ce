//! Answers that come line by line, as long as the host has something to say.

use super::{Answer, Client, ClientError, REFUSAL_BYTES_MAX, innermost};
use reqwest::header::AUTHORIZATION;
use std::ops::ControlFlow;
use std::time::Duration;

/// Bytes of one line.
const LINE_BYTES_MAX: usize = 4 << 20;
/// For a whole stream of lines.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Client {
    /// Hands each line of the answer to `take` as it comes, until that breaks off or, as `Continue`, the answer ends.
    pub async fn follow(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<ControlFlow<()>> {
        let url = format!("{}{path}", self.base);
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: self.base.clone(),
            reason: innermost(&error.without_url()),
        };
        let request = self.http.get(&url).header(AUTHORIZATION, format!("Bearer {}", self.key));
        let mut response = request.timeout(FOLLOW_TIMEOUT).send().await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut buffer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            let bytes_max = if status.is_success() { LINE_BYTES_MAX } else { REFUSAL_BYTES_MAX };
            anyhow::ensure!(buffer.len() + chunk.len() <= bytes_max + chunk.len(), "{url} sends a line without end");
            buffer.extend_from_slice(&chunk);
            while status.is_success()
                && let Some(end) = buffer.iter().position(|byte| *byte == b'\n')
            {
                if take(buffer.get(..end).unwrap_or_default())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                buffer.drain(..=end);
            }
        }
        match status.is_success() {
            true => Ok(ControlFlow::Continue(())),
            false => Err(Answer { status, headers, body: buffer, url }.into_problem().into()),
        }
    }
}
