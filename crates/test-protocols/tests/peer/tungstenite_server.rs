//! A server that is not ours: tokio-tungstenite, on a port of its own.

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::broadcast,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::CloseFrame,
    },
};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Serves any number of connections, each with `speak`; agrees to whatever subprotocol is offered.
/// Resolves to the port; the handles are those of the connections, in order.
pub(crate) async fn serve<F, Fut>(clients: usize, speak: F) -> (u16, JoinHandle<Vec<Fut::Output>>)
where
    F: Fn(Socket) -> Fut + Send + 'static,
    Fut: Future<Output: Send + 'static> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut connections = Vec::new();
        for _ in 0..clients {
            let (stream, _) = listener.accept().await.unwrap();
            let socket = accept_hdr_async(stream, agree).await.unwrap();
            connections.push(tokio::spawn(speak(socket)));
        }
        let mut ends = Vec::new();
        for connection in connections {
            ends.push(connection.await.unwrap());
        }
        ends
    });
    (port, server)
}

fn agree(request: &Request, mut response: Response) -> Result<Response, Refused> {
    const NAME: &str = "sec-websocket-protocol";
    if let Some(offer) = request.headers().get(NAME) {
        response.headers_mut().insert(NAME, offer.clone());
    }
    Ok(response)
}

type Refused = tokio_tungstenite::tungstenite::handshake::server::ErrorResponse;

/// Echoes messages until the client closes; returns its Close.
pub(crate) async fn echo(mut socket: Socket) -> Option<CloseFrame> {
    let mut close = None;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Close(frame) => close = frame,
            message if message.is_text() || message.is_binary() => {
                socket.send(message).await.unwrap();
            }
            _ => {}
        }
    }
    close
}

/// Sends what any client sends to all of those that share `group`.
pub(crate) async fn broadcast(mut socket: Socket, group: broadcast::Sender<Message>) {
    let mut others = group.subscribe();
    loop {
        select! {
            message = others.recv() => socket.send(message.unwrap()).await.unwrap(),
            message = socket.next() => match message {
                Some(Ok(message)) if message.is_text() => {
                    group.send(message).unwrap();
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
