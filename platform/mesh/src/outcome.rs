//! The metrics of calls, the same on both ways: `mesh_requests_total{service,outcome}` and
//! `mesh_request_seconds{service}`. A call is counted where it is made.

use std::sync::OnceLock;

use http::{Response, StatusCode};
use metrics::{Counter, Histogram, counter, histogram};
use tokio::time::Instant;

use crate::error::{Error, Kind};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    ClientError,
    ServerError,
    Unavailable,
    Busy,
    Deadline,
    Broken,
    Cancelled,
}

impl Outcome {
    const ALL: [Self; 8] = [
        Self::Ok,
        Self::ClientError,
        Self::ServerError,
        Self::Unavailable,
        Self::Busy,
        Self::Deadline,
        Self::Broken,
        Self::Cancelled,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Deadline => "deadline",
            Self::Broken => "broken",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the status line and, for gRPC, a status that came in the headers.
    pub(crate) fn of<B>(answer: &Result<Response<B>, Error>) -> Self {
        match answer {
            Ok(response) => match tonic::Status::from_header_map(response.headers()) {
                Some(status) => Self::of_code(status.code()),
                None => Self::of_status(response.status()),
            },
            Err(error) => Self::of_error(error),
        }
    }

    pub(crate) fn of_error(error: &Error) -> Self {
        match error.kind() {
            Kind::Unavailable => Self::Unavailable,
            Kind::Busy => Self::Busy,
            Kind::Deadline => Self::Deadline,
            Kind::Broken => Self::Broken,
        }
    }

    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => Self::Unavailable,
            StatusCode::GATEWAY_TIMEOUT => Self::Deadline,
            s if s.is_server_error() => Self::ServerError,
            s if s.is_client_error() => Self::ClientError,
            _ => Self::Ok,
        }
    }

    pub(crate) fn of_code(code: tonic::Code) -> Self {
        use tonic::Code;
        match code {
            Code::Ok => Self::Ok,
            Code::Unavailable => Self::Unavailable,
            Code::DeadlineExceeded => Self::Deadline,
            Code::Unknown | Code::Internal | Code::DataLoss | Code::Unimplemented => {
                Self::ServerError
            }
            _ => Self::ClientError,
        }
    }
}

/// The metrics of one service, looked up once.
pub(crate) struct Meters {
    outcomes: [Counter; 8],
    seconds: Histogram,
}

/// The meters of a service, made when the first call ends: a recorder that is installed after the
/// mesh was built still sees them.
pub(crate) struct LazyMeters(OnceLock<Meters>);

impl LazyMeters {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn get(&self, service: &str) -> &Meters {
        self.0.get_or_init(|| Meters {
            outcomes: Outcome::ALL.map(|o| {
                counter!("mesh_requests_total", "service" => service.to_string(), "outcome" => o.name())
            }),
            seconds: histogram!("mesh_request_seconds", "service" => service.to_string()),
        })
    }
}

/// One call under way; recorded as cancelled unless it is finished.
pub(crate) struct Call<'a> {
    service: &'a str,
    meters: &'a LazyMeters,
    began: Instant,
    outcome: Outcome,
}

impl<'a> Call<'a> {
    pub(crate) fn begin(service: &'a str, meters: &'a LazyMeters, began: Instant) -> Self {
        Self { service, meters, began, outcome: Outcome::Cancelled }
    }

    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let meters = self.meters.get(self.service);
        meters.outcomes[self.outcome as usize].increment(1);
        meters.seconds.record(self.began.elapsed());
    }
}
