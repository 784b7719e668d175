//! The connection under a socket: the TCP stream itself where hyper gives it out, else whatever
//! was upgraded (TLS, a guarded stream), boxed, with the same behaviour.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a boxed connection can do.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that has left HTTP behind.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Other(Box<dyn Duplex>),
}

impl Transport {
    /// Takes the connection out of hyper, with the bytes that it had read ahead.
    pub(crate) fn new(upgraded: Upgraded) -> (Self, Bytes) {
        let (tcp, ahead) = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => (parts.io.into_inner(), parts.read_buf),
            Err(upgraded) => match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
                Ok(parts) => (parts.io.into_inner(), parts.read_buf),
                Err(upgraded) => {
                    return (Self::Other(Box::new(TokioIo::new(upgraded))), Bytes::new());
                }
            },
        };
        // A frame is written whole; waiting for more would only delay it.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        (Self::Tcp(tcp), ahead)
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        let read = match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
            Self::Other(other) => Pin::new(other).poll_read(cx, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Other(other) => Pin::new(other).poll_write(cx, bytes),
        }
    }

    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Other(other) => Pin::new(other).poll_write_vectored(cx, slices),
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // TCP keeps nothing back.
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(other) => Pin::new(other).poll_flush(cx),
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Other(other) => Pin::new(other).poll_shutdown(cx),
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Other(_) => "Other",
        })
    }
}
