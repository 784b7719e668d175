//! What siblings ask over gRPC.

use contracts::erasure::erasure_server::Erasure;
use contracts::erasure::{EraseReply, EraseRequest};
use contracts::ids::PaletteId;
use contracts::palettes::palettes_server;
use contracts::palettes::{GetManyReply, GetManyRequest};
use rest::Problem;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::model::Palette;
use crate::store::MOST_AT_ONCE;
use crate::{Palettes, delete_palette};

#[tonic::async_trait]
impl palettes_server::Palettes for Palettes {
    async fn get_many(
        &self,
        request: Request<GetManyRequest>,
    ) -> Result<Response<GetManyReply>, Status> {
        let ids: Vec<PaletteId> =
            request.into_inner().palette_ids.into_iter().map(PaletteId::new).collect();
        if ids.len() > MOST_AT_ONCE {
            return Err(Problem::invalid(format!("at most {MOST_AT_ONCE} ids")).into());
        }
        let found = self.shelf.get_many(&ids).await.map_err(Problem::from)?;
        let palettes = found.iter().map(|shown| message(&shown.palette)).collect();
        Ok(Response::new(GetManyReply { palettes }))
    }
}

#[tonic::async_trait]
impl Erasure for Palettes {
    /// Deletes the user's palettes, and sees to it that none appears later.
    async fn erase(&self, request: Request<EraseRequest>) -> Result<Response<EraseReply>, Status> {
        let user = request.into_inner().user_id.into();
        loop {
            let state = delete_palette::Erasure { user, gone: Vec::new() };
            let state =
                self.sagas.run_past_pivot(delete_palette::ERASE, Uuid::new_v4(), state).await?;
            for id in &state.gone {
                self.shelf.forget(*id);
            }
            if state.gone.is_empty() {
                return Ok(Response::new(EraseReply {}));
            }
        }
    }
}

fn message(palette: &Palette) -> contracts::palettes::Palette {
    contracts::palettes::Palette {
        palette_id: palette.id.get(),
        user_id: palette.user.get(),
        color_codes: palette.colors.iter().map(ToString::to_string).collect(),
        category: palette.category.clone(),
        name: palette.name.clone(),
        created_at: palette.created_at,
        updated_at: palette.updated_at,
    }
}
