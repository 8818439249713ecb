//! Requests and their answers.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::super::Shared;
use super::super::meter::Limit;
use super::access::{Access, Denied};
use super::figures::{Figures, Format};

/// How old figures may be that are told to a crowd: whoever asks again and again costs a copy.
const FIGURES_KEPT: Duration = Duration::from_millis(100);
/// How often the disk is asked for its room.
const DISK_LOOK: Duration = Duration::from_secs(10);
/// What stands for a disk that has not answered yet.
const UNKNOWN: u64 = u64::MAX;

const TEXT: &str = "text/plain; charset=utf-8";

/// What a server shows.
pub(super) struct Site {
    shared: Arc<Shared>,
    access: Arc<Access>,
    /// Free bytes where the directory lies.
    free: AtomicU64,
    /// The last ones, in each format.
    figures: [Mutex<Option<(Instant, Bytes)>>; 2],
}

impl Site {
    pub(super) fn new(shared: Arc<Shared>, access: Arc<Access>) -> Self {
        Self { shared, access, free: AtomicU64::new(UNKNOWN), figures: Default::default() }
    }

    /// Somebody has met a limit.
    pub(super) fn met(&self, limit: Limit) {
        self.shared.meter.limits.count(limit);
    }

    /// Asks the disk for its room every now and then. One that hangs keeps nobody waiting but this.
    pub(super) async fn look_at_disk(self: Arc<Self>) {
        loop {
            let root = self.shared.root.clone();
            let free = self.shared.rechecks.run(move || root.free_bytes()).await;
            let free = free.ok().and_then(Result::ok).unwrap_or(UNKNOWN);
            self.free.store(free, Ordering::Relaxed);
            tokio::time::sleep(DISK_LOOK).await;
        }
    }

    fn free(&self) -> Option<u64> {
        Some(self.free.load(Ordering::Relaxed)).filter(|free| *free != UNKNOWN)
    }

    /// Answers a request. `known` is called when it is for something that who asks may have.
    pub(super) async fn answer(&self, request: &Request<Incoming>, known: impl Fn()) -> Response<Content> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET: nothing can be changed here\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        // Whoever looks after machines has no token, and learns no more than that there is a server.
        match request.uri().path() {
            "/healthz" => return self.health(),
            "/readyz" => return self.readiness(),
            _ => {}
        }
        if let Err(denied) = self.access.check(request.headers()) {
            return refusal(denied);
        }
        known();
        match request.uri().path() {
            "/metrics" => self.metrics(request),
            "/" => text(StatusCode::OK, "qft: see /metrics, /healthz, /readyz\n"),
            _ => text(StatusCode::NOT_FOUND, "there is /metrics, /healthz and /readyz\n"),
        }
    }

    fn health(&self) -> Response<Content> {
        match self.shared.fault.what() {
            None => text(StatusCode::OK, "ok\n"),
            Some(_) => text(StatusCode::SERVICE_UNAVAILABLE, "a part of this server has failed\n"),
        }
    }

    fn readiness(&self) -> Response<Content> {
        match self.shared.drain.borrow().is_some() {
            true => text(StatusCode::SERVICE_UNAVAILABLE, "this server is ending\n"),
            false => self.health(),
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Response<Content> {
        let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let format = Format::wanted(accepted);
        let mut kept = self.figures[format as usize].lock().expect("no holder panics");
        let fresh = kept.take().filter(|(at, _)| at.elapsed() < FIGURES_KEPT);
        let (at, body) =
            fresh.unwrap_or_else(|| (Instant::now(), Figures::of(&self.shared, self.free()).text(format).into()));
        *kept = Some((at, body.clone()));
        answer(StatusCode::OK, format.content_type(), body)
    }
}

fn refusal(denied: Denied) -> Response<Content> {
    match denied {
        Denied::Token => {
            let mut answer = text(StatusCode::UNAUTHORIZED, "show the token of this server (--http-token-file)\n");
            let ways = ["Bearer realm=\"qft\"", "Basic realm=\"qft: the token is the password\", charset=\"UTF-8\""];
            for way in ways {
                answer.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(way));
            }
            answer
        }
        Denied::Host => text(
            StatusCode::MISDIRECTED_REQUEST,
            "call this server by its address or localhost; behind another name it needs a token (--http-token-file)\n",
        ),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Content> {
    answer(status, TEXT, Bytes::from_static(text.as_bytes()))
}

/// An answer that no browser keeps, or takes for anything else than it is.
fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Content> {
    let mut answer = Response::new(Content(Some(body)));
    *answer.status_mut() = status;
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The content of an answer.
#[derive(Debug)]
pub(super) struct Content(Option<Bytes>);

impl Body for Content {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
