//! A service's router, called as the gateway or a user would call it.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use ids::UserId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use telemetry::Context;
use tower::ServiceExt;

use auth::Principal;

/// Calls a router inside a [`Context`], as the mesh would. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    router: Router,
    caller: Option<Principal>,
    fresh: bool,
}

impl Client {
    /// A caller who is not signed in.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self { router, caller: None, fresh: false }
    }

    /// The same router, called by this user.
    #[must_use]
    pub fn as_user(&self, user: impl Into<UserId>) -> Self {
        self.as_principal(user.into(), false)
    }

    /// The same router, called by this member of the staff.
    #[must_use]
    pub fn as_staff(&self, user: impl Into<UserId>) -> Self {
        self.as_principal(user.into(), true)
    }

    /// The same router, called by nobody in particular.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { caller: None, ..self.clone() }
    }

    /// The same caller, who wrote recently: no replicas, no caches.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { fresh: true, ..self.clone() }
    }

    fn as_principal(&self, user: UserId, staff: bool) -> Self {
        let session = format!("test-{user}");
        Self { caller: Some(Principal { user, session, staff }), ..self.clone() }
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None::<&()>).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None::<&()>).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: impl Serialize) -> Reply {
        self.send(Method::POST, path, Some(&body)).await
    }

    /// `PUT path` with a JSON body.
    pub async fn put(&self, path: &str, body: impl Serialize) -> Reply {
        self.send(Method::PUT, path, Some(&body)).await
    }

    /// `PATCH path` with a JSON body.
    pub async fn patch(&self, path: &str, body: impl Serialize) -> Reply {
        self.send(Method::PATCH, path, Some(&body)).await
    }

    /// `DELETE path` with a JSON body.
    pub async fn delete_with(&self, path: &str, body: impl Serialize) -> Reply {
        self.send(Method::DELETE, path, Some(&body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Reply {
        let request = Request::builder().method(method).uri(path);
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(serde_json::to_vec(body).unwrap())),
            None => request.body(Body::empty()),
        };
        self.request(request.unwrap()).await
    }

    /// Any request; the caller is added.
    pub async fn request(&self, request: Request<Body>) -> Reply {
        let mut context = Context::background();
        context.caller = self.caller.as_ref().map(Principal::to_header);
        context.fresh = self.fresh;
        let router = self.router.clone();
        let answer = context.scope(async move {
            let Ok(response) = router.oneshot(request).await;
            let (head, body) = response.into_parts();
            (head, body.collect().await.unwrap().to_bytes())
        });
        let (head, bytes) = answer.await;
        Reply { status: head.status, headers: head.headers, bytes }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Bytes,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        self.decode()
    }

    /// The body as a type.
    ///
    /// # Panics
    /// When it is not of that type.
    #[must_use]
    #[track_caller]
    pub fn decode<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.bytes) {
            Ok(value) => value,
            Err(error) => panic!("{error} in the answer {}: {}", self.status, self.text()),
        }
    }

    /// The body as text, for messages.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The same reply, if it has this status.
    ///
    /// # Panics
    /// When it has another; the message holds the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}
