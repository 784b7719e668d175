//! The ids that cross a service's border.

pub use ids::UserId;

ids::id!(
    /// A palette.
    PaletteId
);
ids::id!(
    /// An item of any kind: what can be liked and viewed. Unique together with its `Kind`.
    ItemId
);
ids::id!(
    /// A chat or a lobby.
    RoomId
);
ids::id!(
    /// A message in a chat or lobby.
    MessageId
);

impl From<PaletteId> for ItemId {
    fn from(palette: PaletteId) -> Self {
        Self::new(palette.get())
    }
}
