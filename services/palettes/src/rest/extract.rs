//! A picture in, its colours out.

use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, Request, State};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use rest::{Json, Problem, Query, json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Palettes;
use crate::extract::{COLORS, DEFAULT_COLORS, ExtractError, MAX_BYTES};

/// The largest body: a picture, and what multipart puts around it.
pub(super) const MAX_BODY: usize = MAX_BYTES + 64 * 1024;

/// How many colours.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// 2 to 16; 5 unless given.
    colors: Option<usize>,
}

/// The colours found, those of the largest areas first.
#[derive(Serialize, ToSchema)]
pub(super) struct Found {
    #[schema(example = json!(["#1D3557", "#E63946"]))]
    color_codes: Vec<String>,
}

/// A picture in a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body in the OpenAPI document")]
pub(super) struct PictureForm {
    /// A PNG, JPEG, WebP or GIF of at most 20 MiB and 50 megapixels.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// The main colours of a picture. A picture of no more colours than asked for gives exactly
/// those. The body may also be the picture itself.
#[utoipa::path(
    post, path = "/palettes/extract", tag = "palettes", params(Wanted),
    request_body(content = PictureForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = Found),
        (status = 413, description = "More than 20 MiB or 50 megapixels."),
        (status = 415, description = "No PNG, JPEG, WebP or GIF."),
        (status = 422, description = "The picture is broken or wholly transparent, `file` is missing, or `colors` is not 2 to 16."),
        (status = 503, description = "Too many pictures are being read."),
    )
)]
pub(super) async fn extract(
    State(palettes): State<Palettes>,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Result<Json<Found>, Problem> {
    let count = wanted.colors.unwrap_or(DEFAULT_COLORS);
    if !COLORS.contains(&count) {
        let reason = format!("must be {} to {}", COLORS.start(), COLORS.end());
        return Err(Problem::invalid_field("colors", reason));
    }
    if declared(request.headers()).is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    // Before the body is received: what waits here would be in memory.
    let admission = palettes.extractor.admit().ok_or(ExtractError::Busy)?;
    let picture = picture(request).await?;
    let colors = admission.swatches(picture, count).await?;
    Ok(Json(Found { color_codes: colors.iter().map(ToString::to_string).collect() }))
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The picture's bytes: the form's `file`, or the body as it is.
async fn picture(request: Request) -> Result<Bytes, Problem> {
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let bytes = if kind == "multipart/form-data" {
        from_form(request).await?
    } else if kind.is_empty() || kind == "application/octet-stream" || kind.starts_with("image/") {
        json::read(request, &()).await?
    } else {
        return Err(Problem::unsupported_type(
            "send the picture as multipart/form-data, in a part `file`",
        ));
    };
    if bytes.is_empty() {
        return Err(Problem::invalid_field("file", "must not be empty"));
    }
    Ok(bytes)
}

async fn from_form(request: Request) -> Result<Bytes, Problem> {
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| Problem::bad_request(error.body_text()))?;
    while let Some(mut part) = form.next_field().await.map_err(unreadable)? {
        if part.name() != Some("file") {
            continue;
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = part.chunk().await.map_err(unreadable)? {
            if bytes.len() + chunk.len() > MAX_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        return Ok(bytes.freeze());
    }
    Err(Problem::invalid_field("file", "is missing"))
}

fn unreadable(error: MultipartError) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Problem::bad_request("the form cannot be read to its end"),
    }
}

fn too_large() -> Problem {
    Problem::too_large(format!("a picture may have {} MiB", MAX_BYTES >> 20))
}

impl From<ExtractError> for Problem {
    fn from(error: ExtractError) -> Self {
        let text = error.to_string();
        match error {
            ExtractError::TooLarge(_) => Self::too_large(text),
            ExtractError::Unsupported => Self::unsupported_type(text),
            ExtractError::Broken(_) | ExtractError::Blank => {
                Self::invalid(text.clone()).with_field("file", text)
            }
            ExtractError::Busy => Self::unavailable(1, text),
        }
    }
}
