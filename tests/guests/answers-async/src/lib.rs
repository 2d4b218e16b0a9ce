//! Answers HTTP requests over WASI 0.3, well and badly, as the path says.

use wasip3::cli::{environment, stdout};
use wasip3::clocks::{monotonic_clock, system_clock};
use wasip3::filesystem::preopens;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Trailers};
use wasip3::random::random;
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Answers;

wasip3::http::service::export!(Answers);

type End = Result<Option<Trailers>, ErrorCode>;

/// Nanoseconds between two pieces.
const PAUSE: u64 = 100_000_000;
/// Bytes read at once.
const PIECE: usize = 4096;

impl wasip3::exports::http::handler::Guest for Answers {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        match path.split('?').next().unwrap_or_default() {
            "/echo" => {
                let (body, end) = take(request);
                Ok(Response::new(Fields::new(), Some(body), end).0)
            }
            "/upper" => {
                let (body, end) = take(request);
                let announced = with_header("trailer", "x-sum");
                Ok(answer_with(announced, async move |to, ended| upper(body, end, to, ended).await))
            }
            "/seen" => {
                let seen = seen(&request, &path);
                Ok(answer(async move |mut to, ended| {
                    to.write_all(seen.into_bytes()).await;
                    finish(to, ended, None).await;
                }))
            }
            "/world" => {
                let world = world().await;
                Ok(answer(async move |mut to, ended| {
                    to.write_all(world.into_bytes()).await;
                    finish(to, ended, None).await;
                }))
            }
            "/trailers" => Ok(answer(async |mut to, ended| {
                to.write_all(b"counted".to_vec()).await;
                finish(to, ended, Some(&[("x-count", "7"), ("connection", "close")])).await;
            })),
            "/drops" => Ok(answer(async |mut to, ended| {
                for drop in 0..10 {
                    monotonic_clock::wait_for(PAUSE).await;
                    if !to.write_all(format!("drop {drop}\n").into_bytes()).await.is_empty() {
                        return;
                    }
                }
                finish(to, ended, None).await;
            })),
            "/breaks" => Ok(answer(async |mut to, _ended| {
                to.write_all(b"drop 0\n".to_vec()).await;
                panic!("as asked");
            })),
            "/too-long" => Ok(answer(async |mut to, ended| {
                to.write_all(vec![b'x'; 1_100_000]).await;
                finish(to, ended, None).await;
            })),
            "/short" => Ok(lying("10", b"short")),
            "/over" => Ok(lying("3", b"longer")),
            "/spin" => loop {
                std::hint::black_box(());
            },
            "/sleep" => {
                monotonic_clock::wait_for(600_000_000_000).await;
                unreachable!("nobody sleeps so long")
            }
            "/panic" => panic!("as asked"),
            "/error" => Err(ErrorCode::InternalError(Some("no answer today".to_owned()))),
            "/eat" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                }
            }
            _ => {
                let response = answer(async |to, ended| finish(to, ended, None).await);
                response.set_status_code(404).expect("404 is a status");
                Ok(response)
            }
        }
    }
}

/// What there is besides HTTP; a line goes to standard output.
async fn world() -> String {
    let (mut line, lines) = wit_stream::new();
    let written = stdout::write_via_stream(lines);
    line.write_all(b"seen the world\n".to_vec()).await;
    drop(line);
    let written = written.await.is_ok();
    let before = monotonic_clock::now();
    monotonic_clock::wait_for(PAUSE).await;
    let waited = monotonic_clock::now() - before >= PAUSE;
    let this_century = system_clock::now().seconds > 946_684_800;
    let bytes = random::get_random_bytes(1 << 20).len();
    let (variables, folders) = (environment::get_environment().len(), preopens::get_directories().len());
    format!(
        "written {written}, waited {waited}, this century {this_century}, {bytes} random bytes, \
         {variables} variables, {folders} folders"
    )
}

/// The body of a request, and what comes after it.
fn take(request: Request) -> (StreamReader<u8>, FutureReader<End>) {
    let (done, when_done) = wit_future::new(|| Ok(()));
    drop(done);
    Request::consume_body(request, when_done)
}

/// A response whose body is written while it is on its way.
fn answer(write: impl AsyncFnOnce(StreamWriter<u8>, FutureWriter<End>) + 'static) -> Response {
    answer_with(Fields::new(), write)
}

fn answer_with(headers: Fields, write: impl AsyncFnOnce(StreamWriter<u8>, FutureWriter<End>) + 'static) -> Response {
    let (to, body) = wit_stream::new();
    let (ended, end) = wit_future::new(|| Ok(None));
    spawn_local(write(to, ended));
    Response::new(headers, Some(body), end).0
}

/// A response that announces another length than it has.
fn lying(length: &str, body: &'static [u8]) -> Response {
    answer_with(with_header("content-length", length), async move |mut to, ended| {
        to.write_all(body.to_vec()).await;
        finish(to, ended, None).await;
    })
}

fn with_header(name: &str, value: &str) -> Fields {
    let headers = Fields::from_list(&[(name.to_owned(), value.as_bytes().to_vec())]);
    headers.expect("a good header")
}

async fn finish(to: StreamWriter<u8>, ended: FutureWriter<End>, trailers: Option<&[(&str, &str)]>) {
    drop(to);
    let trailers = trailers.map(|list| {
        let trailers = Fields::new();
        for (name, value) in list {
            // What hosts forbid they refuse here.
            let _ = trailers.append(name, value.as_bytes());
        }
        trailers
    });
    let _ = ended.write(Ok(trailers)).await;
}

/// Sends the body back in capitals, piece by piece, and its trailers after it.
async fn upper(mut body: StreamReader<u8>, end: FutureReader<End>, mut to: StreamWriter<u8>, ended: FutureWriter<End>) {
    loop {
        let (state, piece) = body.read(Vec::with_capacity(PIECE)).await;
        to.write_all(piece.to_ascii_uppercase()).await;
        if state == StreamResult::Dropped {
            break;
        }
    }
    drop(body);
    let end = end.await;
    drop(to);
    let _ = ended.write(end).await;
}

/// What of the request reached the component.
fn seen(request: &Request, path: &str) -> String {
    let method = match request.get_method() {
        Method::Get => "GET".to_owned(),
        Method::Post => "POST".to_owned(),
        other => format!("{other:?}"),
    };
    let mut seen = format!("{method} {}{path}\n", request.get_authority().unwrap_or_default());
    for (name, value) in request.get_headers().copy_all() {
        seen.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    seen
}
