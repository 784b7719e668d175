//! `POST /like` and `DELETE /like`.

use axum::extract::State;
use contracts::Kind;
use contracts::ids::{ItemId, UserId};
use rest::{Json, Problem, SignedIn, own};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Service;
use crate::model::Item;
use crate::model::ballot::{Verdict, Vote};

/// What is liked: exactly one of the ids.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub(crate) struct LikeRequest {
    /// A palette.
    #[serde(default)]
    pub palette_id: Option<ItemId>,
    /// A picture.
    #[serde(default)]
    pub image_id: Option<ItemId>,
    /// A piece of music.
    #[serde(default)]
    pub track_id: Option<ItemId>,
    /// A product.
    #[serde(default)]
    pub product_id: Option<ItemId>,
    /// The caller's own id, if it is given.
    #[serde(default)]
    pub user_id: Option<UserId>,
}

impl LikeRequest {
    fn item(&self) -> Result<Item, Problem> {
        let given = [
            (Kind::Palette, self.palette_id),
            (Kind::Image, self.image_id),
            (Kind::Track, self.track_id),
            (Kind::Product, self.product_id),
        ];
        let mut given = given.into_iter().filter_map(|(kind, id)| Some((kind, id?)));
        match (given.next(), given.next()) {
            (Some((kind, id)), None) => Ok(Item { kind, id: id.get() }),
            (None, _) => Err(Problem::invalid_field(
                "palette_id",
                "is missing; image_id, track_id or product_id may stand in its place",
            )),
            (Some(_), Some((kind, _))) => Err(Problem::invalid_field(
                format!("{kind}_id"),
                "only one thing can be liked at once",
            )),
        }
    }
}

/// The item with its likes; one of the ids is there, that of the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct LikeReply {
    /// Which palette.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub palette_id: Option<ItemId>,
    /// Which picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ItemId>,
    /// Which piece of music.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_id: Option<ItemId>,
    /// Which product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ItemId>,
    /// How many people like it now.
    pub likes: i64,
    /// Whether the caller is one of them.
    pub liked: bool,
}

impl LikeReply {
    fn new(item: Item, likes: i64, liked: bool) -> Self {
        let id = |kind| (item.kind == kind).then(|| ItemId::new(item.id));
        Self {
            palette_id: id(Kind::Palette),
            image_id: id(Kind::Image),
            track_id: id(Kind::Track),
            product_id: id(Kind::Product),
            likes,
            liked,
        }
    }
}

/// Likes something. A second like of the same user changes nothing.
#[utoipa::path(
    post, path = "/like", tag = "popularity", request_body = LikeRequest,
    responses(
        (status = 200, description = "Liked, and on disk", body = LikeReply),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "`user_id` is not the caller's own"),
        (status = 404, description = "There is no such item"),
        (status = 422, description = "Not exactly one id"),
    )
)]
pub(crate) async fn like(
    State(service): State<Service>,
    SignedIn(caller): SignedIn,
    Json(request): Json<LikeRequest>,
) -> Result<Json<LikeReply>, Problem> {
    own(&caller, request.user_id)?;
    cast(&service, &request, caller.user, true).await
}

/// Takes a like back. Taking back what was not liked changes nothing.
#[utoipa::path(
    delete, path = "/like", tag = "popularity", request_body = LikeRequest,
    responses(
        (status = 200, description = "Not liked any more, and on disk", body = LikeReply),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "`user_id` is not the caller's own"),
        (status = 404, description = "There is no such item"),
        (status = 422, description = "Not exactly one id"),
    )
)]
pub(crate) async fn unlike(
    State(service): State<Service>,
    SignedIn(caller): SignedIn,
    Json(request): Json<LikeRequest>,
) -> Result<Json<LikeReply>, Problem> {
    own(&caller, request.user_id)?;
    cast(&service, &request, caller.user, false).await
}

async fn cast(
    service: &Service,
    request: &LikeRequest,
    user: UserId,
    like: bool,
) -> Result<Json<LikeReply>, Problem> {
    let item = request.item()?;
    let vote = Vote { item, user: user.get(), like, at: service.clock.now() };
    match service.votes.cast(vote).await? {
        Verdict::Counted { likes } => Ok(Json(LikeReply::new(item, likes, like))),
        Verdict::NoSuchItem => Err(Problem::not_found(format!("there is no such {}", item.kind))),
        Verdict::NoSuchUser => Err(Problem::unauthorized()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_id_is_taken() {
        let read = |text| serde_json::from_str::<LikeRequest>(text).unwrap().item();
        assert_eq!(read(r#"{"track_id":7}"#).unwrap(), Item { kind: Kind::Track, id: 7 });
        assert_eq!(read(r#"{"palette_id":"7"}"#).unwrap(), Item { kind: Kind::Palette, id: 7 });
        assert_eq!(read("{}").unwrap_err().status(), 422);
        assert_eq!(read(r#"{"track_id":7,"image_id":7}"#).unwrap_err().status(), 422);
    }

    #[test]
    fn the_reply_has_the_fields_of_the_contract_and_no_other() {
        let reply = LikeReply::new(Item { kind: Kind::Palette, id: 7 }, 3, true);
        let json = serde_json::to_value(reply).unwrap();
        assert_eq!(json, serde_json::json!({"palette_id": "7", "likes": 3, "liked": true}));
    }
}
