//! What clients send and get, in all dialects.

use ::rest::{Problem, Timestamp};
use ids::UserId;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::grant::Grant;
use crate::model::{Email, Name, Password, Reason};
use crate::sign_up::SignUp;

/// What someone signs up with.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SignUpBody {
    /// 3 to 32 letters, digits, single spaces and `. _ - + @`; unique, whatever its case and
    /// whatever it looks like.
    #[schema(value_type = String, examples("mario"))]
    username: Option<String>,
    /// Up to 256 characters.
    #[schema(value_type = String, format = Password, examples("swordfish"))]
    password: Option<Password>,
    /// Need not be unique.
    #[schema(examples("mario@example.com"))]
    email: Option<String>,
}

/// What someone signs up with who shares images.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NameAndPassword {
    #[schema(value_type = String, examples("Mario"))]
    name: Option<String>,
    #[schema(value_type = String, format = Password, examples("Mario"))]
    password: Option<Password>,
}

/// What someone logs in with: `username` or `name`, and the password.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Credentials {
    #[schema(examples("mario"))]
    username: Option<String>,
    name: Option<String>,
    #[schema(value_type = String, format = Password, examples("swordfish"))]
    password: Option<Password>,
}

/// A refresh token, unless it comes as a cookie.
#[derive(Default, Deserialize, ToSchema)]
pub(crate) struct RefreshBody {
    #[serde(rename = "refreshToken")]
    camel: Option<Secret>,
    #[serde(rename = "refresh_token")]
    snake: Option<Secret>,
}

/// A text that is never shown.
#[derive(ToSchema)]
#[schema(value_type = String)]
struct Secret(String);

/// What an account's owner can change. What is left out stays, `null` empties.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChangeBody {
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub(super) email: Option<Option<String>>,
    /// A new password. Ends every other session.
    #[schema(value_type = Option<String>, format = Password)]
    pub(super) password: Option<Password>,
    /// Needed to change a password that is set.
    #[schema(value_type = Option<String>, format = Password)]
    pub(super) current_password: Option<Password>,
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>, max_length = 64)]
    pub(super) display_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>, max_length = 1000)]
    pub(super) bio: Option<Option<String>>,
}

/// The account that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct Registered {
    pub(super) user_id: UserId,
    pub(super) username: String,
    pub(super) email: Option<String>,
    pub(super) created_at: Timestamp,
}

/// `{"message": …}`
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    pub(super) message: &'static str,
}

/// `{"message": …, "error": ""}`
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageAndError {
    pub(super) message: &'static str,
    pub(super) error: &'static str,
}

/// A token and whose it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenAndUser {
    pub(super) token: String,
    pub(super) user_id: UserId,
}

/// Both tokens, in both spellings.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    user_id: UserId,
    access_token: String,
    refresh_token: String,
    #[serde(rename = "accessToken")]
    access_token_camel: String,
    #[serde(rename = "refreshToken")]
    refresh_token_camel: String,
    error: &'static str,
}

impl Tokens {
    pub(super) fn of(grant: &Grant) -> Self {
        let (access, refresh) = (grant.access.clone(), grant.refresh.expose().to_owned());
        Self {
            user_id: grant.user,
            access_token: access.clone(),
            refresh_token: refresh.clone(),
            access_token_camel: access,
            refresh_token_camel: refresh,
            error: "",
        }
    }
}

/// Which fields a dialect of signing up asks for.
#[derive(Clone, Copy)]
pub(super) struct Required {
    pub(super) password: bool,
    pub(super) email: bool,
}

impl SignUpBody {
    pub(super) fn read(
        self,
        required: Required,
        shortest_password: usize,
    ) -> Result<SignUp, Problem> {
        sign_up("username", self.username, self.password, self.email, required, shortest_password)
    }
}

impl NameAndPassword {
    pub(super) fn read(self, shortest_password: usize) -> Result<SignUp, Problem> {
        let required = Required { password: true, email: false };
        sign_up("name", self.name, self.password, None, required, shortest_password)
    }
}

impl Credentials {
    /// The name and the password.
    pub(super) fn read(self) -> Result<(String, Password), Problem> {
        let mut wrong = Wrong::default();
        let name = wrong.required("username", self.username.or(self.name));
        let password = wrong.required("password", self.password);
        wrong.none()?;
        name.zip(password).ok_or_else(Problem::internal)
    }
}

impl RefreshBody {
    pub(super) fn token(self) -> Option<String> {
        self.camel.or(self.snake).map(|secret| secret.0).filter(|token| !token.is_empty())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Through a value: serde's own message would repeat what is not a string.
        match serde_json::Value::deserialize(from)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("a token is a string")),
        }
    }
}

/// What is wrong with a request, field by field.
#[derive(Default)]
pub(super) struct Wrong(Vec<(&'static str, Reason)>);

impl Wrong {
    /// Takes a value that must be there.
    fn required<T>(&mut self, field: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.0.push((field, "this field is needed"));
        }
        value
    }

    /// Takes a value that was checked.
    pub(super) fn checked<T>(
        &mut self,
        field: &'static str,
        value: Result<T, Reason>,
    ) -> Option<T> {
        value.map_err(|reason| self.0.push((field, reason))).ok()
    }

    /// # Errors
    /// 422 with every field that is wrong.
    pub(super) fn none(self) -> Result<(), Problem> {
        let Some((field, reason)) = self.0.first() else { return Ok(()) };
        let problem = Problem::invalid(format!("{field}: {reason}"));
        Err(self
            .0
            .iter()
            .fold(problem, |problem, (field, reason)| problem.with_field(*field, *reason)))
    }
}

fn sign_up(
    name_field: &'static str,
    name: Option<String>,
    password: Option<Password>,
    email: Option<String>,
    required: Required,
    shortest_password: usize,
) -> Result<SignUp, Problem> {
    let mut wrong = Wrong::default();
    let name = wrong.required(name_field, name);
    let name = name.and_then(|name| wrong.checked(name_field, Name::parse(&name)));
    let password = if required.password { wrong.required("password", password) } else { password };
    if let Some(password) = &password {
        wrong.checked("password", password.check(shortest_password));
    }
    let email = if required.email { wrong.required("email", email) } else { email };
    let email = email.and_then(|email| wrong.checked("email", Email::parse(&email)));
    wrong.none()?;
    let name = name.ok_or_else(Problem::internal)?;
    Ok(SignUp { name, email, password })
}

/// Tells `null` from what is left out.
fn sent<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
