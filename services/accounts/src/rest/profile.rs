//! Profiles: read by everyone, changed by their owners, deleted by them or by staff.

use std::sync::Arc;

use ::rest::{Caller, Json, Path, Problem, SignedIn, Timestamp, conditional};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contracts::ids::RoomId;
use http::{HeaderMap, HeaderValue, header};
use ids::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{ChangeBody, Message, Wrong};
use super::cookies;
use crate::change_profile::{Change, no_such_user};
use crate::model::{Bio, DisplayName, Email};
use crate::profiles::Public;
use crate::store::{Profile, User};
use crate::{Accounts, store};

/// A profile as its reader may see it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProfileView {
    user_id: UserId,
    username: String,
    /// For its owner and staff alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    created_at: Timestamp,
    display_name: Option<String>,
    bio: Option<String>,
    /// The ids of the owner's chats, for its owner alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    chats: Option<Vec<RoomId>>,
}

/// A profile.
#[utoipa::path(
    get, path = "/users/{id}", tag = "accounts", operation_id = "user",
    params(("id" = UserId, Path)),
    responses(
        (status = 200, description = "The profile; `email` for its owner and staff, `chats` for its owner",
            body = ProfileView),
        (status = 304, description = "It has not changed since `If-None-Match`"),
        (status = 404, description = "There is no such user"),
    )
)]
pub(super) async fn read(
    State(accounts): State<Arc<Accounts>>,
    Path(id): Path<UserId>,
    Caller(caller): Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let shared = caller.as_ref().is_none_or(|caller| caller.user != id && !caller.staff);
    let view = if shared {
        ProfileView::from(accounts.profiles.of(id).await?.ok_or_else(no_such_user)?)
    } else {
        let user = living(store::user(&accounts.db.read(), id).await?)?;
        let chats = match &caller {
            // Of the primary: somebody else has written what they are in.
            Some(owner) if owner.user == id => {
                Some(store::chats_of(&accounts.db.read_primary(), id).await?)
            }
            _ => None,
        };
        full(user, chats)
    };
    let body = serde_json::to_vec(&view).map_err(|error| {
        tracing::error!(%error, "a profile cannot be written as JSON");
        Problem::internal()
    })?;
    let mut response = conditional(&headers, "application/json", body);
    let cache = if shared { "no-cache" } else { "private, no-cache" };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization, Cookie"));
    Ok(response)
}

/// Changes one's own profile or password.
#[utoipa::path(
    patch, path = "/users/{id}", tag = "accounts", operation_id = "change_user",
    params(("id" = UserId, Path)),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "The profile", body = ProfileView),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "Somebody else's, or the current password is wrong"),
        (status = 404, description = "There is no such user"),
        (status = 422, description = "A field is not acceptable"),
        (status = 429, description = "Too many wrong current passwords"),
    )
)]
pub(super) async fn change(
    State(accounts): State<Arc<Accounts>>,
    Path(id): Path<UserId>,
    SignedIn(caller): SignedIn,
    Json(body): Json<ChangeBody>,
) -> Result<Response, Problem> {
    if caller.user != id {
        living(store::user(&accounts.db.read(), id).await?)?;
        return Err(Problem::forbidden("this profile is not yours"));
    }
    let change = body.read(accounts.settings.shortest_password)?;
    let (user, chats) = accounts.change_profile(&caller, change).await?;
    Ok(Json(full(user, Some(chats))).into_response())
}

/// Deletes an account with all that is its own, everywhere.
#[utoipa::path(
    delete, path = "/users/{id}", tag = "accounts", operation_id = "delete_user",
    params(("id" = UserId, Path)),
    responses(
        (status = 200, description = "`User deleted successfully`; what a service could not erase now \
            is erased later", body = Message),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "Somebody else's"),
        (status = 404, description = "There is no such user"),
    )
)]
pub(super) async fn delete(
    State(accounts): State<Arc<Accounts>>,
    Path(id): Path<UserId>,
    SignedIn(caller): SignedIn,
) -> Result<Response, Problem> {
    living(store::user(&accounts.db.read_primary(), id).await?)?;
    if caller.user != id && !caller.staff {
        return Err(Problem::forbidden("this account is not yours"));
    }
    accounts.delete_user(id).await?;
    let answer = Json(Message { message: "User deleted successfully" });
    Ok(if caller.user == id {
        cookies::signed_out(answer, &accounts.settings)
    } else {
        answer.into_response()
    })
}

fn living(user: Option<User>) -> Result<User, Problem> {
    user.filter(|user| !user.is_deleted()).ok_or_else(no_such_user)
}

/// As its owner sees it, or without `chats` as staff does.
fn full(user: User, chats: Option<Vec<RoomId>>) -> ProfileView {
    let email = Some(user.email.clone());
    ProfileView { email, chats, ..ProfileView::from(Public::from(user)) }
}

/// What everybody may see.
impl From<Public> for ProfileView {
    fn from(profile: Public) -> Self {
        Self {
            user_id: profile.user,
            username: profile.username,
            email: None,
            created_at: Timestamp(profile.created_at),
            display_name: profile.display_name,
            bio: profile.bio,
            chats: None,
        }
    }
}

impl ChangeBody {
    fn read(self, shortest_password: usize) -> Result<Change, Problem> {
        let mut wrong = Wrong::default();
        let email = self.email.map(|email| {
            email
                .and_then(|text| wrong.checked("email", Email::parse(&text)))
                .map(Email::into_string)
        });
        // A cleared form field is empty, not null.
        let display_name = self.display_name.map(|name| {
            let name = name.filter(|text| !text.trim().is_empty());
            name.and_then(|text| wrong.checked("display_name", DisplayName::parse(&text)))
                .map(DisplayName::into_string)
        });
        let bio = self.bio.map(|bio| {
            bio.and_then(|text| wrong.checked("bio", Bio::parse(&text))).map(Bio::into_string)
        });
        if let Some(password) = &self.password {
            wrong.checked("password", password.check(shortest_password));
        }
        wrong.none()?;
        let profile = Profile { email, display_name, bio, password_hash: None };
        Ok(Change { profile, password: self.password, current_password: self.current_password })
    }
}
