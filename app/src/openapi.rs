//! The OpenAPI document of the whole system: what each service says of itself, put together.

use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

#[derive(OpenApi)]
#[openapi(info(
    title = "Atelier",
    description = "A self-hosted home for a creative community. Every path is served by the \
                   gateway, on one origin, with one account and one error shape.",
    license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
))]
struct Base;

/// The document, as `GET /openapi.json` serves it.
#[must_use]
pub fn document() -> Document {
    let mut document = Base::openapi();
    let services =
        [accounts::openapi(), palettes::openapi(), popularity::openapi(), chat::openapi()];
    for service in services {
        document.merge(service);
    }
    document
}
