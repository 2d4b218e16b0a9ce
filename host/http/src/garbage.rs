//! Files that nothing on the shelf refers to.

use crate::auth::Admin;
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use std::sync::Arc;
use wares_catalog::{Catalog, Garbage};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/garbage", get(show).delete(collect))
}

async fn show(State(catalog): State<Arc<Catalog>>, _admin: Admin) -> Result<axum::Json<Garbage>, Problem> {
    Ok(axum::Json(catalog.garbage().await?))
}

async fn collect(State(catalog): State<Arc<Catalog>>, _admin: Admin) -> Result<axum::Json<Garbage>, Problem> {
    Ok(axum::Json(catalog.collect_garbage().await?))
}
