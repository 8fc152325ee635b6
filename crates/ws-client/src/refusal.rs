//! An answer other than 101: what the server said instead, and no more of it than is useful.

use std::fmt;

use http::{HeaderMap, StatusCode, response::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

/// How a server refused the handshake.
///
/// A redirect is a refusal, too: it is not followed, since `Authorization` and `Cookie` would go
/// to a place that nobody chose. The place is in the header `Location`.
#[derive(Clone)]
pub struct Refusal {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Refusal {
    /// Reads the body, up to its end, 64 KiB, or the deadline.
    pub(crate) async fn read(head: Parts, mut body: Incoming, deadline: Instant) -> Self {
        let mut text = Vec::new();
        let reading = async {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                let room = MAX_BODY_BYTES - text.len();
                text.extend_from_slice(&data[..data.len().min(room)]);
                if text.len() == MAX_BODY_BYTES {
                    break;
                }
            }
        };
        // What came in time is better than nothing.
        let _elapsed = timeout_at(deadline, reading).await;
        Self {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first 64 KiB of the body, as text; what is not UTF-8 is replaced. Empty if there was
    /// none, or if none came in time.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }
}

impl fmt::Debug for Refusal {
    /// Leaves out headers and body: they may hold cookies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Enough for any sentence that says why, and for most pages.
const MAX_BODY_BYTES: usize = 64 * 1024;
