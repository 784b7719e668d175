//! Popularity, as palettes use it: it knows of every palette that can be seen, and
//! counts its likes and views.
//!
//! Reading never fails because of it. A palette is shown with the counts last known
//! to this instance, or with zeros, when popularity does not answer within
//! [`PATIENCE`].

use std::future::Future;
use std::time::Duration;

use contracts::Kind;
use contracts::ids::PaletteId;
use contracts::popularity::{CountsRequest, PopularityStub, RegisterRequest, WithdrawRequest};
use mesh::{Channel, Mesh};
use tonic::Status;

use crate::model::Palette;

/// How long a reader waits for counts.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often something was liked and viewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) likes: i64,
    pub(crate) views: i64,
}

/// A client of the sibling. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Popularity {
    client: PopularityStub<Channel>,
}

impl Popularity {
    pub(crate) fn new(mesh: &Mesh) -> Self {
        Self { client: PopularityStub::new(mesh.channel("popularity")) }
    }

    /// The counts of these palettes, in their order; `None` when popularity cannot tell now.
    /// With `view`, one view of each is counted as well.
    pub(crate) async fn counts(&self, ids: &[PaletteId], view: bool) -> Option<Vec<Counts>> {
        if ids.is_empty() {
            return Some(Vec::new());
        }
        let request = CountsRequest {
            kind: Kind::Palette.number(),
            item_ids: ids.iter().map(|id| id.get()).collect(),
            view,
        };
        let counting = self.client.counts(request);
        let reply = match tokio::time::timeout(PATIENCE, counting).await {
            Ok(Ok(reply)) => reply.into_inner().counts,
            Ok(Err(status)) => return missed(&status),
            Err(_) => return missed(&Status::deadline_exceeded("no counts in time")),
        };
        let counts: Vec<_> = reply
            .into_iter()
            .map(|count| Counts { likes: count.likes, views: count.views })
            .collect();
        (counts.len() == ids.len()).then_some(counts)
    }

    /// Makes the palette known, or its category. Repeating it changes nothing.
    pub(crate) async fn register(&self, palette: &Palette) -> Result<(), Status> {
        let request = RegisterRequest {
            kind: Kind::Palette.number(),
            item_id: palette.id.get(),
            owner: palette.user.get(),
            category: palette.category.clone(),
            created_at: palette.created_at,
        };
        self.client.register(request).await.map(drop)
    }

    /// Has the palette forgotten. Repeating it changes nothing.
    pub(crate) async fn withdraw(&self, id: PaletteId) -> Result<(), Status> {
        let request = WithdrawRequest { kind: Kind::Palette.number(), item_id: id.get() };
        self.client.withdraw(request).await.map(drop)
    }

    /// Makes popularity agree with what `current` finds: registered as it is now, or withdrawn
    /// when it is gone. Looks again after it has told, so that of two at once, in whatever order
    /// their calls arrive, the one that tells last tells what is so.
    pub(crate) async fn agree<E, F>(&self, id: PaletteId, current: impl Fn() -> F) -> Result<(), E>
    where
        F: Future<Output = Result<Option<Palette>, E>>,
        E: From<Status>,
    {
        let mut told = current().await?;
        loop {
            match &told {
                Some(palette) => self.register(palette).await?,
                None => self.withdraw(id).await?,
            }
            let now = current().await?;
            let category = |palette: &Option<Palette>| {
                palette.as_ref().map(|palette| palette.category.clone())
            };
            if category(&now) == category(&told) {
                return Ok(());
            }
            told = now;
        }
    }
}

fn missed<T>(status: &Status) -> Option<T> {
    metrics::counter!("palettes_counts_missed_total").increment(1);
    tracing::debug!(%status, "palettes are shown with the counts last known");
    None
}
