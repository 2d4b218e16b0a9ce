//! Sends the HTTP requests that it is told to send and tells what came of each.
//!
//! `POST /` takes them as JSON and sends them word for word over the interface's own functions; `GET /plain?URL` sends one as
//! a component that knows nothing of this would.

mod requests;

use requests::{Ask, Told};
use wstd::http::{Body, Client, Error, Request, Response};

#[wstd::http_server]
async fn main(mut request: Request<Body>) -> Result<Response<Body>, Error> {
    if request.uri().path() == "/plain" {
        return plain(request.uri().query().unwrap_or_default()).await;
    }
    let asks: Vec<Ask> = request.body_mut().json().await?;
    let told: Vec<Told> = asks.iter().flat_map(requests::follow).collect();
    Ok(Response::new(serde_json::to_string(&told)?.into()))
}

async fn plain(url: &str) -> Result<Response<Body>, Error> {
    let answer = Client::new().send(Request::get(url).body(())?).await?;
    let status = answer.status();
    let text = answer.into_body().str_contents().await?.to_owned();
    Ok(Response::builder().status(status).body(text.into())?)
}
