//! A client's TCP socket: reports the progress of writes to the [`Client`], and closes the connection. It knows no HTTP.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::client::{Client, CloseReason};
use super::lingering_close::lingering_close;

/// The socket of one client. Writes go to the kernel as they come; vectored writes are not copied.
pub(super) struct Socket {
    /// Shared with the connection's timer, which asks how much of the send queue the client has taken.
    stream: Arc<TcpStream>,
    client: Arc<Client>,
    tasks: TaskTracker,
}

impl Socket {
    /// Wraps the socket of `client`. A lingering close that the drop starts becomes one of the `tasks`.
    pub(super) fn new(stream: Arc<TcpStream>, client: Arc<Client>, tasks: TaskTracker) -> Self {
        Self { stream, client, tasks }
    }

    fn write(&self, cx: &mut Context<'_>, write: impl Fn(&TcpStream) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        let result = loop {
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => break Poll::Ready(result),
            }
        };
        match &result {
            Poll::Ready(Ok(bytes @ 1..)) => self.client.wrote(*bytes),
            Poll::Pending => self.client.set_write_blocked(),
            // The kernel can always read our own memory; EFAULT (write(2)) means a page of a mapped file that cannot be read.
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::EFAULT) => {
                self.client.set_close_reason(CloseReason::Unreadable);
            }
            Poll::Ready(_) => {}
        }
        result
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.client.is_write_blocked() {
            // The client stopped reading. A reset frees the send queue at once; a plain close would keep its pages and go on
            // retransmitting. If the option cannot be set, only that memory is lost for a while.
            let _ = self.stream.set_zero_linger();
            return;
        }
        let client_open = match self.stream.try_read(&mut [0; 64]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        // Without a runtime the process is exiting, which closes the socket anyway.
        if client_open && let Ok(runtime) = Handle::try_current() {
            self.tasks.spawn_on(lingering_close(Arc::clone(&self.stream)), &runtime);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(_) => {
                    if let Some(&first) = buffer.filled().get(before) {
                        self.client.set_first_byte(first);
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&*self.stream).shutdown(Shutdown::Write) {
            // The client has closed the connection.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}
