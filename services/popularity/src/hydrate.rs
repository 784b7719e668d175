//! From ids to what a reader sees: one line a kind in [`Hydrators::fill`].

use std::collections::HashMap;

use contracts::Kind;
use contracts::events::PaletteSnapshot;
use contracts::ids::{ItemId, PaletteId, UserId};
use contracts::palettes::{GetManyRequest, Palette, PalettesStub};
use mesh::{Channel, Mesh};
use rest::{Problem, Timestamp};
use serde::Serialize;
use tonic::Request;
use utoipa::ToSchema;

/// The counts of an item that a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Which item.
    pub id: i64,
    /// Its place, where the list is a ranking.
    pub rank: Option<u64>,
    /// Likes in all.
    pub likes: i64,
    /// Views in all.
    pub views: i64,
}

/// An entry of a list of popular items.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Entry {
    /// A palette as its own service shows it.
    Palette(PopularPalette),
    /// An item whose service tells nothing more.
    Bare(PopularItem),
}

/// A palette with its popularity.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PopularPalette {
    /// Which.
    pub palette_id: PaletteId,
    /// Whose.
    pub user_id: UserId,
    /// `#RRGGBB` or `#RRGGBBAA`, upper case.
    pub color_codes: Vec<String>,
    /// Under which heading.
    pub category: Option<String>,
    /// Its title.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// How many people like it.
    pub likes: i64,
    /// How often others looked at it.
    pub views: i64,
    /// Its place, 1 being the top; not in recommendations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
}

/// An item with its popularity; one of the ids is there.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct PopularItem {
    /// Which picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ItemId>,
    /// Which piece of music.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_id: Option<ItemId>,
    /// Which product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ItemId>,
    /// Under which heading.
    pub category: Option<String>,
    /// How many people like it.
    pub likes: i64,
    /// How often others looked at it.
    pub views: i64,
    /// Its place, 1 being the top; not in recommendations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
}

/// The services that know more of the items.
#[derive(Clone)]
pub(crate) struct Hydrators {
    palettes: PalettesStub<Channel>,
}

impl Hydrators {
    /// Asks the services that `mesh` knows.
    #[must_use]
    pub(crate) fn new(mesh: &Mesh) -> Self {
        Self { palettes: PalettesStub::new(mesh.channel("palettes")) }
    }

    /// The entries of a list of one kind, in its order; what no longer exists is left out.
    ///
    /// # Errors
    /// When the kind's service does not answer: 503.
    pub(crate) async fn fill(
        &self,
        kind: Kind,
        items: Vec<(Shown, Option<String>)>,
    ) -> Result<Vec<Entry>, Problem> {
        match kind {
            Kind::Palette => {
                self.palettes(items.into_iter().map(|(shown, _)| shown).collect()).await
            }
            Kind::Image | Kind::Track | Kind::Product => {
                Ok(items.into_iter().map(|(shown, category)| bare(kind, shown, category)).collect())
            }
        }
    }

    async fn palettes(&self, items: Vec<Shown>) -> Result<Vec<Entry>, Problem> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let palette_ids = items.iter().map(|shown| shown.id).collect();
        let request = mesh::idempotent(Request::new(GetManyRequest { palette_ids }));
        let reply = self.palettes.get_many(request).await?;
        let palettes = reply.into_inner().palettes;
        let mut palettes: HashMap<i64, Palette> =
            palettes.into_iter().map(|palette| (palette.palette_id, palette)).collect();
        let entry =
            |shown: Shown| Some(Entry::Palette(palette(palettes.remove(&shown.id)?, shown)));
        Ok(items.into_iter().filter_map(entry).collect())
    }
}

impl From<PaletteSnapshot> for PopularPalette {
    /// A palette as it is when it was just made.
    fn from(palette: PaletteSnapshot) -> Self {
        Self {
            palette_id: palette.palette_id,
            user_id: palette.user_id,
            color_codes: palette.color_codes,
            category: palette.category,
            name: palette.name,
            created_at: Timestamp(palette.created_at),
            updated_at: Timestamp(palette.updated_at),
            likes: 0,
            views: 0,
            rank: None,
        }
    }
}

fn palette(palette: Palette, shown: Shown) -> PopularPalette {
    PopularPalette {
        palette_id: PaletteId::new(palette.palette_id),
        user_id: UserId::new(palette.user_id),
        color_codes: palette.color_codes,
        category: palette.category,
        name: palette.name,
        created_at: Timestamp(palette.created_at),
        updated_at: Timestamp(palette.updated_at),
        likes: shown.likes,
        views: shown.views,
        rank: shown.rank,
    }
}

fn bare(kind: Kind, shown: Shown, category: Option<String>) -> Entry {
    let Shown { id, rank, likes, views } = shown;
    let id = |of| (kind == of).then(|| ItemId::new(id));
    let (image_id, track_id, product_id) = (id(Kind::Image), id(Kind::Track), id(Kind::Product));
    Entry::Bare(PopularItem { image_id, track_id, product_id, category, likes, views, rank })
}
