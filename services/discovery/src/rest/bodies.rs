//! What is sent and answered, as the contract writes it.

use axum::extract::{FromRequest, Request};
use http::uri::Authority;
use rest::{Json, Problem, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::{Instance, Registration};

/// The longest version or zone.
const LONGEST: usize = 64;
const LONGEST_HOST: usize = 260;
const HEAVIEST: u32 = 1_000;

/// Who is looked for.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lookup {
    /// Matched without case; `USER SERVICE`, `user-service` and `accounts` are one.
    pub(super) service_name: String,
}

/// In the query, or in a JSON body.
pub(super) async fn lookup(request: Request) -> Result<Lookup, Problem> {
    let query = request.uri().query().unwrap_or_default();
    let asks = |pair: &str| pair.split('=').next() == Some("serviceName");
    if query.split('&').any(asks) {
        return rest::params::query(query);
    }
    if http_body::Body::is_end_stream(request.body()) {
        return Err(Problem::invalid_field("serviceName", "is missing"));
    }
    let Json(asked) = Json::from_request(request, &()).await?;
    Ok(asked)
}

/// An instance, and a ticket for it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    #[schema(example = "10.0.0.7:3799")]
    pub(super) host: String,
    pub(super) conn_ticket: String,
}

/// A ticket to be closed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Close {
    pub(super) conn_ticket: String,
}

/// An instance that leaves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Leave {
    pub(super) service_name: String,
    pub(super) host: String,
}

/// An instance that registers, or is still alive.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Register {
    pub(super) service_name: String,
    /// `host:port`.
    #[schema(example = "10.0.0.7:3799")]
    host: String,
    version: Option<String>,
    /// 1 to 1000; 1 if it is left out.
    weight: Option<u32>,
    zone: Option<String>,
}

impl Register {
    /// What the registry keeps of it.
    ///
    /// # Errors
    /// 422, naming every field that cannot be.
    pub(super) fn registration(self) -> Result<Registration, Problem> {
        let weight = self.weight.unwrap_or(1);
        let (version, zone) = (self.version.unwrap_or_default(), self.zone.unwrap_or_default());
        let checks = [
            ("host", is_address(&self.host), "must be host:port"),
            ("version", version.len() <= LONGEST, "must not be longer than 64 bytes"),
            ("weight", (1..=HEAVIEST).contains(&weight), "must be 1 to 1000"),
            ("zone", zone.len() <= LONGEST, "must not be longer than 64 bytes"),
        ];
        let mut wrong = checks.into_iter().filter(|(_, fine, _)| !fine);
        if let Some((field, _, reason)) = wrong.next() {
            let first = Problem::invalid_field(field, reason);
            return Err(
                wrong.fold(first, |problem, (field, _, reason)| problem.with_field(field, reason))
            );
        }
        Ok(Registration { host: self.host, version, weight, zone })
    }
}

/// `host:port` with a host that is there and a port that is not 0, and nothing besides.
fn is_address(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    text.len() <= LONGEST_HOST
        && !text.contains('@')
        && !authority.host().is_empty()
        && authority.port_u16().is_some_and(|port| port > 0)
}

/// It was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    message: &'static str,
    error: &'static str,
}

impl Done {
    pub(super) fn success() -> Self {
        Self { message: "success", error: "" }
    }
}

/// Every service and its instances.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Services {
    /// To be given as `watch` in order to wait for the next change.
    pub(super) index: u64,
    /// The registry has just started: who is not listed may only not have registered yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) warming: bool,
    pub(super) services: Vec<Group>,
}

/// A service and its instances.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    pub(super) service_name: String,
    pub(super) instances: Vec<Alive>,
}

/// An instance.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alive {
    host: String,
    version: String,
    weight: u32,
    zone: String,
    /// `healthy`: one that is not is not listed any more.
    health: &'static str,
    last_heartbeat: Timestamp,
}

impl From<&Instance> for Alive {
    fn from(instance: &Instance) -> Self {
        let Registration { host, version, weight, zone } = instance.said.clone();
        let last_heartbeat = Timestamp(instance.beat_at);
        Self { host, version, weight, zone, health: "healthy", last_heartbeat }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for good in ["10.0.0.7:3799", "localhost:1", "[::1]:80", "palettes-0.palettes.svc:65535"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:b",
            "http://a:80",
            "a:80/x",
            "u@a:80",
            "a b:80",
            "a:80\n",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
