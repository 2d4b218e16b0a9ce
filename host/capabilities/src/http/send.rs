//! One request, from what a guest asks for to the response that it gets.

use super::body::{Connection, Cut, CutTold, Measure, RequestBody, ResponseBody};
use super::failure::Failure;
use super::outbound::Outbound;
use super::places::Place;
use super::target::Target;
use super::watch::Watch;
use super::{Processing, connect, headers, hop_by_hop};
use crate::cpu::{self, Account};
use crate::refusal::Refusal;
use crate::{CallContext, CallLog, Services, traceparent};
use http::uri::PathAndQuery;
use http::{HeaderName, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;
use wares_model::Limits;
use wares_model::TenantId;
use wares_model::grants::HttpGrant;
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// Bytes that are read from a connection at once; a response's header is not larger.
pub(super) const READ_BYTES_MAX: usize = 64 << 10;

/// What requests of one call draw on.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) context: Arc<CallContext>,
    pub(crate) services: Arc<Services>,
    pub(crate) log: CallLog,
    pub(crate) cpu: Account,
    pub(crate) limits: Limits,
    /// Held by every request until it is at its end, with its response.
    pub(crate) open: Arc<()>,
}

/// A response whose body is still on its way, as the request's may be.
struct Arriving {
    response: Response<Incoming>,
    measure: Measure,
    connection: Connection,
    cut: Cut,
    told: CutTold,
}

impl Sending {
    /// Sends a request of the call. Its span begins now, below that of the call.
    pub(crate) fn send(
        self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> impl Future<Output = Result<(Response<WasiBody>, Processing), Error>> + Send + use<> {
        let mut watch = Watch::new(&self.context, self.log.clone());
        let span = watch.span().clone();
        async move {
            match self.attempt(request, options, &mut watch).await {
                Err(failure) => Err(watch.failed(failure)),
                Ok(Arriving { response, measure, connection, cut, told }) => {
                    watch.answered(response.status().as_u16());
                    let body = |body| ResponseBody::new(body, measure, watch, cut, connection).boxed_unsync();
                    // Whoever ends the body without a word has sent it whole, or nobody waits for it any more.
                    let processing = Box::new(async move { told.await.map_or(Ok(()), Err) });
                    Ok((response.map(body), processing as Processing))
                }
            }
        }
        .instrument(span)
    }

    async fn attempt(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
        watch: &mut Watch,
    ) -> Result<Arriving, Failure> {
        let began = Instant::now();
        let target = Target::of(request.method(), request.uri())?;
        watch.addressed(&target);
        let grant = self.grant(&target)?;
        let trace = traceparent(watch.span()).or_else(|| self.context.traceparent());
        let (request, cut, told) = self.prepare(request, &target, grant, trace).await?;
        self.context.note_used(format_args!("http {target}"));

        let outbound = self.services.outbound.as_deref();
        let outbound = outbound.ok_or_else(|| Failure::unable("the sandbox sends no requests"))?;
        let wall = Duration::from_millis(self.limits.wall_ms_max);
        let patience = outbound.patience(options, wall);
        let connect_by = began + patience.connect;
        let (stream, place) = reach(outbound, &target, grant, &self.context.tenant, connect_by).await?;
        let (connection, answer) = exchange(stream, request, &self.cpu).await?;
        let connection = Connection { _work: connection, _place: place, _open: Arc::clone(&self.open) };
        let deadline = (Instant::now() + patience.first_byte).min(began + wall);
        let response = match timeout_at(deadline, answer).await {
            Ok(answered) => answered.map_err(|error| cut.lock().take().unwrap_or_else(|| Failure::of_hyper(&error)))?,
            Err(_) => return Err(Failure::timeout(Error::ConnectionReadTimeout, "no response began in time")),
        };
        let response = accept(response)?;
        let (bytes_max, between_bytes) = (self.limits.outbound_bytes_max, patience.between_bytes);
        let measure = Measure { bytes_max, between_bytes, deadline: began + wall };
        Ok(Arriving { response, measure, connection, cut, told })
    }

    /// What allows a request to this target.
    fn grant(&self, target: &Target) -> Result<&HttpGrant, Failure> {
        let granted = &self.context.granted;
        let seen = target.as_rules_see_it();
        granted.http(&seen).ok_or_else(|| {
            let refusal = Refusal {
                component: &self.context.component,
                is_asked: granted.asked().is_none_or(|asked| asked.http.iter().any(|rule| rule.allows(&seen))),
                is_granted: granted.grants().http.iter().any(|grant| grant.allow.allows(&seen)),
                ask: format!("http = [\"{target}\"]"),
                flags: format!("--http '{target}'"),
            };
            Failure::refused(Error::HttpRequestDenied, refusal.advice())
        })
    }

    /// The request as it goes out: the guest's but for what the host says of it.
    async fn prepare(
        &self,
        request: Request<WasiBody>,
        target: &Target,
        grant: &HttpGrant,
        trace: Option<String>,
    ) -> Result<(Request<RequestBody>, Cut, CutTold), Failure> {
        let (mut parts, body) = request.into_parts();
        headers::check(&parts.headers, grant.credential.as_ref())?;
        headers::complete(&mut parts.headers, target, trace)?;
        let mut header = None;
        if let Some(credential) = &grant.credential {
            header = HeaderName::try_from(credential.header.as_str()).ok();
            headers::authorise(&mut parts.headers, credential, &self.context, self.services.secrets.as_ref()).await?;
        }
        // Only a proxy is told more of the address than the path.
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        parts.uri =
            path.parse::<Uri>().map_err(|_| Failure::refused(Error::HttpRequestUriInvalid, "the path is malformed"))?;
        let (body, cut, told) = RequestBody::new(body, self.limits.outbound_bytes_max, header);
        Ok((Request::from_parts(parts, body), cut, told))
    }
}

/// Resolves, checks and dials, all of it before the deadline.
pub(super) async fn reach(
    outbound: &Outbound,
    target: &Target,
    grant: &HttpGrant,
    tenant: &TenantId,
    deadline: Instant,
) -> Result<(Box<dyn connect::Stream>, Place), Failure> {
    let place = outbound.places.take(tenant, deadline).await?;
    let addresses = timeout_at(deadline, outbound.resolver.addresses(target, grant)).await;
    let addresses =
        addresses.map_err(|_| Failure::timeout(Error::DnsTimeout, "the DNS server did not answer in time"))??;
    let stream = timeout_at(deadline, outbound.connect(target, &addresses, deadline)).await;
    let stream =
        stream.map_err(|_| Failure::timeout(Error::ConnectionTimeout, "the connection was not made in time"))??;
    Ok((stream, place))
}

/// Begins to send the request over a connection that is used for nothing else.
async fn exchange(
    stream: Box<dyn connect::Stream>,
    request: Request<RequestBody>,
    account: &Account,
) -> Result<(AbortOnDropJoinHandle<()>, impl Future<Output = hyper::Result<Response<Incoming>>>), Failure> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_BYTES_MAX);
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| Failure::of_hyper(&error))?;
    let connection = async move {
        // Whoever waits for the response or its body gets this error too.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "outbound connection");
        }
    };
    let work = cpu::spawn(account, connection.in_current_span());
    Ok((work, async move { sender.send_request(request).await }))
}

/// Checks a response's header, and takes from it what is said of the connection alone.
fn accept(mut response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
    headers::check_size(response.headers()).map_err(|bytes| {
        let reason = format!("the response's header has {bytes} bytes");
        Failure::too_large(Error::HttpResponseHeaderSectionSize(Some(bytes)), reason)
    })?;
    if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::broken(Error::HttpUpgradeFailed, "the server wants to speak another protocol"));
    }
    hop_by_hop::remove(response.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests;
