//! Requests and their answers.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::super::ServerInner;
use super::super::meter::Limit;
use super::access::{Denied, HttpAccess};
use super::events::{EventFeed, Listening};
use super::figures::{Figures, MetricsFormat};
use super::page::Page;
use super::survey::Survey;
use crate::storage::Disk;

/// How old figures may be that are told to a crowd: whoever asks again and again costs a copy.
const FIGURES_KEPT: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const EVENTS: &str = "text/event-stream";

/// The resources that are served over HTTP.
pub(super) struct Site {
    shared: Arc<ServerInner>,
    access: Arc<HttpAccess>,
    page: Page,
    events: EventFeed,
    survey: Survey,
    /// For what is looked at on the disk.
    disk: Disk,
    /// The last ones, in each format.
    figures: [Mutex<Option<(Instant, Bytes)>>; 2],
}

impl Site {
    /// # Errors
    /// The thread for the disk cannot be started.
    pub(super) fn new(shared: Arc<ServerInner>, access: Arc<HttpAccess>) -> io::Result<Self> {
        let (events, survey) = (EventFeed::new(), Survey::new(shared.history.home().map(Path::to_owned)));
        // Nobody else waits where it waits.
        let disk = Disk::named("qft-survey", NonZeroUsize::MIN)?;
        Ok(Self { shared, access, page: Page::new(), events, survey, disk, figures: Default::default() })
    }

    /// Somebody has met a limit.
    pub(super) fn met(&self, limit: Limit) {
        self.shared.meter.limits.count(limit);
    }

    /// Looks at what changes, and tells open pages of it, until it is dropped.
    pub(super) async fn keep_looking(self: Arc<Self>) {
        let are_wanted = || self.events.are_wanted();
        tokio::join!(
            self.survey.keep_looking(&self.shared, &self.disk, are_wanted),
            self.events.keep_telling(&self.shared, &self.survey),
        );
    }

    /// Answers a request. `known` is called when it is for something that who asks may have.
    pub(super) async fn answer(&self, request: &Request<Incoming>, known: impl Fn()) -> Response<ResponseBody> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET: nothing can be changed here\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        // Health checks carry no token, and tell no more than that there is a server.
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
            "/" => self.page(),
            "/events" => self.events(request.method()),
            _ => text(StatusCode::NOT_FOUND, "there is /, /metrics, /healthz and /readyz\n"),
        }
    }

    fn page(&self) -> Response<ResponseBody> {
        let mut page = answer(StatusCode::OK, HTML, self.page.html.clone());
        let policy = HeaderValue::from_str(&self.page.policy).expect("plain text");
        page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        page
    }

    fn events(&self, method: &Method) -> Response<ResponseBody> {
        if method == Method::HEAD {
            return answer(StatusCode::OK, EVENTS, Bytes::new());
        }
        match self.events.listen(&self.shared, &self.survey) {
            Some(listening) => respond(StatusCode::OK, EVENTS, ResponseBody::Events(listening)),
            None => {
                self.met(Limit::HttpPages);
                text(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open; close one\n")
            }
        }
    }

    fn health(&self) -> Response<ResponseBody> {
        match self.shared.fault.what() {
            None => text(StatusCode::OK, "ok\n"),
            Some(_) => text(StatusCode::SERVICE_UNAVAILABLE, "a part of this server has failed\n"),
        }
    }

    fn readiness(&self) -> Response<ResponseBody> {
        match self.shared.drain.borrow().is_some() {
            true => text(StatusCode::SERVICE_UNAVAILABLE, "this server is ending\n"),
            false => self.health(),
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Response<ResponseBody> {
        let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let format = MetricsFormat::wanted(accepted);
        let mut kept = self.figures[format as usize].lock().expect("no holder panics");
        let fresh = kept.take().filter(|(at, _)| at.elapsed() < FIGURES_KEPT);
        let (at, body) = fresh
            .unwrap_or_else(|| (Instant::now(), Figures::of(&self.shared, self.survey.free()).text(format).into()));
        *kept = Some((at, body.clone()));
        answer(StatusCode::OK, format.content_type(), body)
    }
}

fn refusal(denied: Denied) -> Response<ResponseBody> {
    match denied {
        Denied::Token => {
            let mut answer = text(StatusCode::UNAUTHORIZED, "show the token of this server (--http-token-file)\n");
            let ways = ["Bearer realm=\"qft\"", "Basic realm=\"qft: the token is the password\", charset=\"UTF-8\""];
            for path in ways {
                answer.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(path));
            }
            answer
        }
        Denied::Host => text(
            StatusCode::MISDIRECTED_REQUEST,
            "call this server by its address or localhost; behind another name it needs a token (--http-token-file)\n",
        ),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    answer(status, TEXT, Bytes::from_static(text.as_bytes()))
}

/// An answer that no browser keeps, or takes for anything else than it is.
fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<ResponseBody> {
    respond(status, content_type, ResponseBody::Whole(Some(body)))
}

fn respond(status: StatusCode, content_type: &'static str, content: ResponseBody) -> Response<ResponseBody> {
    let mut answer = Response::new(content);
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
pub(super) enum ResponseBody {
    /// All of it; `None` when it was taken.
    Whole(Option<Bytes>),
    /// It goes on until one of the two ends has enough.
    Events(Listening),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Events(listening) => Pin::new(listening).poll_next(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
