//! This project's `Group`: a message is encoded once, and shared by the members' outboxes.
//!
//! A member whose outbox is full misses messages.

use std::{future, io};

use ws_bench::serving;
use ws_handler::{
    Endpoint, EventResult, Group, Membership, Message, NotFound, Prepared, Server, Session,
    SlowMember, WebSocketFactory, WebSocketHandler,
};

struct Member {
    room: Group,
    membership: Option<Membership>,
}

impl Endpoint for Member {
    async fn on_connect(&mut self, session: &Session) -> EventResult {
        self.membership = Some(self.room.join(session));
        Ok(())
    }

    async fn on_message(&mut self, _session: &Session, message: Message) -> EventResult {
        self.room.broadcast(Prepared::from(&message));
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let room = Group::new(SlowMember::DropNewest);
    let factory = WebSocketFactory::builder()
        .fallback(move |_request| Member {
            room: room.clone(),
            membership: None,
        })
        .build()
        .map_err(io::Error::other)?;
    serving::run(|listener| async {
        let server = Server::from_listener(listener)?;
        let handler = WebSocketHandler::new(factory, NotFound);
        server.serve(handler, future::pending()).await;
        Ok(())
    })
}
