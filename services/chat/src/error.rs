//! Why chat refuses, mapped to the contract's answers in one place.

use contracts::ids::UserId;
use data::DataError;
use rest::Problem;
use saga::StepError;

use crate::model::RoomKind;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ChatError {
    /// There is no such room, or none for this user.
    #[error("there is no such {}", .0.name())]
    NoRoom(RoomKind),
    /// A public lobby that the user has not joined.
    #[error("join this lobby first")]
    NotJoined,
    /// There is no such message.
    #[error("there is no such message")]
    NoMessage,
    /// Somebody else's message.
    #[error("this message is not yours")]
    Foreign,
    /// Only the room's owner may do this.
    #[error("only the owner of this {} may do this", .0.name())]
    NotOwner(RoomKind),
    /// Whoever is to be removed is not there.
    #[error("this user is not in the chat")]
    NoMember,
    /// Somebody who was to be a participant is not there.
    #[error("there is no user {0}")]
    NoSuchUser(UserId),
    /// The account is gone.
    #[error("the account was deleted")]
    Erased,
    /// The room has changed since it was looked at.
    #[error("the chat has changed in the meantime; try again")]
    Changed,
    /// There is no room for one more.
    #[error("a chat has at most {0} participants")]
    Full(usize),
    /// There are too many kinds of reactions to one message.
    #[error("this message has too many kinds of reactions")]
    TooManyReactions,
    /// The database failed.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl From<ChatError> for Problem {
    fn from(error: ChatError) -> Self {
        let text = error.to_string();
        match error {
            ChatError::NoRoom(_) | ChatError::NoMessage | ChatError::NoMember => {
                Self::not_found(text)
            }
            ChatError::NotJoined | ChatError::Foreign | ChatError::NotOwner(_) => {
                Self::forbidden(text)
            }
            ChatError::Erased => Self::unauthorized(),
            ChatError::Changed | ChatError::TooManyReactions => Self::conflict(text),
            ChatError::Full(_) | ChatError::NoSuchUser(_) => {
                Self::invalid_field("participants", text)
            }
            ChatError::Data(error) => error.into(),
        }
    }
}

impl From<ChatError> for StepError {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::Data(error) => error.into(),
            refused => Self::Undo(refused.into()),
        }
    }
}
