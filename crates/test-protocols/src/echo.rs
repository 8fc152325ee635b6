//! `echo`: a data frame in, the same frame out.
//!
//! Frame by frame, as they arrive: a message may have any number of frames, since nothing is kept
//! of it. Only the length of one frame is limited.

use ws_handler::{BoxError, Endpoint, Frame, FrameAction, Session};

use crate::reply;

/// Sends every data frame back as it came: opcode, FIN and payload. The framework has checked it
/// by then, so no text comes back that is not UTF-8.
#[derive(Debug)]
pub(crate) struct Echo;

impl Endpoint for Echo {
    const FRAMES: bool = true;

    async fn on_frame(
        &mut self,
        session: &Session,
        frame: &Frame,
    ) -> Result<FrameAction, BoxError> {
        if frame.opcode().is_control() {
            return Ok(FrameAction::Continue);
        }
        reply::queued(session.send_frame(frame.clone()).await)?;
        Ok(FrameAction::Consume)
    }
}
