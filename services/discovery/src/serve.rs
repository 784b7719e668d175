//! The registry's own address, on the private network.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tasks::Tasks;
use telemetry::Context;
use tokio::net::TcpListener;

/// Answers at `listener` until the process stops; those who wait for a change are answered then.
pub fn serve(listener: TcpListener, router: Router, tasks: &Tasks) {
    let stopping = tasks.stopping();
    let router = router.layer(from_fn(in_context));
    tasks.spawn("registry listener", async move {
        let serving =
            axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "the registry does not listen any more");
        }
    });
}

/// The request's id and trace, which errors and logs show.
async fn in_context(request: Request, next: Next) -> Response {
    let context = Context::from_headers(request.headers());
    context.scope(next.run(request)).await
}
