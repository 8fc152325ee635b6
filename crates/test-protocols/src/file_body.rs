//! An open file in, the frames of a response body out.
//!
//! Holds one chunk of the file, whatever its size.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

/// The first so many bytes of a file, read as they are asked for.
#[derive(Debug)]
pub struct FileBody {
    file: File,
    remaining_bytes: u64,
    /// Kept while a read is pending, so that it need not be made again.
    chunk: Vec<u8>,
}

impl FileBody {
    /// A body of exactly `bytes`, which is what the head has promised: a file that has grown since
    /// is cut there, and one that has shrunk is an error, which ends the connection.
    pub(crate) const fn new(file: File, bytes: u64) -> Self {
        Self {
            file,
            remaining_bytes: bytes,
            chunk: Vec::new(),
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.remaining_bytes == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(this.remaining_bytes)
            .map_or(CHUNK_BYTES, |remaining| remaining.min(CHUNK_BYTES));
        this.chunk.resize(wanted, 0);
        let mut buffer = ReadBuf::new(&mut this.chunk);
        let outcome = ready!(Pin::new(&mut this.file).poll_read(context, &mut buffer));
        let read = buffer.filled().len();
        let outcome = outcome.and_then(|()| match read {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was sent",
            )),
            _ => Ok(()),
        });
        if let Err(error) = outcome {
            this.remaining_bytes = 0;
            return Poll::Ready(Some(Err(error)));
        }
        this.remaining_bytes -= read as u64;
        let mut chunk = mem::take(&mut this.chunk);
        chunk.truncate(read);
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining_bytes)
    }
}

/// 64 KiB: what a socket's send buffer takes at once on most systems.
const CHUNK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use http_body_util::BodyExt;

    use super::*;

    /// A body that promises `promised` bytes of a file that has `actual`.
    async fn body(name: &str, actual: usize, promised: u64) -> FileBody {
        let path = std::env::temp_dir().join(format!("file-body-{}-{name}", std::process::id()));
        fs::write(&path, vec![b'x'; actual]).unwrap();
        let file = File::open(&path).await.unwrap();
        // The open file outlives its name.
        fs::remove_file(&path).unwrap();
        FileBody::new(file, promised)
    }

    #[tokio::test]
    async fn a_large_file_comes_in_chunks_of_bounded_size() {
        let bytes = 3 * CHUNK_BYTES + 1;
        let mut body = body("large", bytes, bytes as u64).await;

        let mut received = 0;
        while let Some(frame) = body.frame().await {
            let chunk = frame.unwrap().into_data().unwrap();
            assert!(chunk.len() <= CHUNK_BYTES);
            received += chunk.len();
        }

        assert_eq!(received, bytes);
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn a_file_that_has_grown_is_cut_at_the_promised_length() {
        let body = body("grown", 10, 4).await;

        assert_eq!(body.size_hint().exact(), Some(4));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxx");
    }

    #[tokio::test]
    async fn a_file_that_has_shrunk_is_an_error_and_then_the_end() {
        let mut body = body("shrunk", 4, 10).await;

        let first = body.frame().await.unwrap().unwrap();
        let second = body.frame().await.unwrap().unwrap_err();

        assert_eq!(first.into_data().unwrap(), "xxxx");
        assert_eq!(second.kind(), io::ErrorKind::UnexpectedEof);
        assert!(body.frame().await.is_none());
    }
}
