//! gRPC without generated code: unary methods whose messages are plain bytes, and what a generated
//! stub does with them.

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use mesh::Channel;
use seam::Seam;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

#[derive(Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

/// A service as a contract generates it, of methods by name.
#[tonic::async_trait]
pub(crate) trait Test: Send + Sync {
    async fn call(&self, method: &str, message: Bytes) -> Result<Bytes, Status>;
}

/// Calls `/test.Test/{method}` with a message, as a stub does.
pub(crate) async fn call(
    channel: Channel,
    method: &str,
    request: Request<Bytes>,
) -> Result<Bytes, Status> {
    if let Some(service) = channel.here::<dyn Test>() {
        let timeout = request.metadata().get("grpc-timeout").cloned();
        let call = async { service.call(method, request.into_inner()).await };
        return channel.enter(timeout, call).await;
    }
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = format!("/test.Test/{method}").parse().unwrap();
    client.unary(request, path, Plain).await.map(tonic::Response::into_inner)
}

/// A method that answers with what `answer` makes of the message.
pub(crate) fn method<F, Fut>(name: &str, answer: F) -> Router
where
    F: Fn(HeaderMap, Bytes) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Bytes, Status>> + Send,
{
    let handler = move |headers: HeaderMap, body: Body| {
        let answer = answer.clone();
        async move {
            let mut message = body.collect().await.unwrap().to_bytes();
            message.advance(5);
            match answer(headers, message).await {
                Ok(message) => success(&message),
                Err(status) => status.into_http(),
            }
        }
    };
    Router::new().route(&format!("/test.Test/{name}"), post(handler))
}

fn success(message: &[u8]) -> Response<Body> {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok::<_, Status>(Frame::data(framed.freeze())), Ok(Frame::trailers(trailers))];
    let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}
