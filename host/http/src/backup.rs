//! The backup of the shelf, as a stream.

use crate::auth::Admin;
use crate::{App, Problem};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::stream;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Sender, channel};
use wares_catalog::Catalog;
use wares_store::{BackupError, MissingArtifact};

/// Bytes that are sent as one piece.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait for a slow reader.
const PIECES_WAITING_MAX: usize = 4;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/backup", get(backup))
}

async fn backup(State(catalog): State<Arc<Catalog>>, _admin: Admin) -> Result<Response, Problem> {
    let backup = catalog.backup().await?;
    let (pieces, waiting) = channel(PIECES_WAITING_MAX);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let out = BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces.clone()));
        match backup.write(out, &runtime) {
            Ok(missing) => {
                for MissingArtifact { digest, reason } in missing {
                    tracing::error!(%digest, reason, "an artifact is missing in a backup");
                }
            }
            // What the reader has says so.
            Err(error @ BackupError::Broken(_)) => tracing::error!(%error, "a backup was broken off"),
            Err(error) => {
                tracing::error!(%error, "a backup was broken off");
                // The reader sees the stream break, and so that it has no whole archive.
                let _ = pieces.blocking_send(Err(io::Error::other(error)));
            }
        }
    });
    let body = stream::unfold(waiting, async |mut waiting| Some((waiting.recv().await?, waiting)));
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], Body::from_stream(body)).into_response())
}

/// What is written goes to the reader of the answer, and waits for it.
struct Pieces(Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(piece)));
        sent.map(|()| piece.len()).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
