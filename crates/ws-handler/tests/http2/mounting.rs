//! The handler in servers that are not ours, which have told their clients of extended CONNECTs.

use std::net::SocketAddr;

use axum::{Router, routing::any};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use ws_handler::{NotFound, Servlets, WebSocketFactory, WebSocketFactoryBuilder, WebSocketHandler};

use crate::{
    client::{Client, echoes},
    serving::Fickle,
};

fn fickle(factory: WebSocketFactoryBuilder) -> WebSocketFactoryBuilder {
    factory.fallback(|_| Fickle)
}

async fn sessions_work(addr: SocketAddr) {
    let mut client = Client::connect(addr).await;
    let (mut first, head) = client.open("/chat").await;
    let (mut second, _) = client.open("/chat").await;

    assert_eq!(head.status, 200);
    echoes(&mut first).await;
    echoes(&mut second).await;
    echoes(&mut first).await;
}

#[tokio::test]
async fn hyper_server_of_ones_own_that_enables_extended_connects_serves_sessions() {
    let factory = fickle(WebSocketFactory::builder()).build().unwrap();
    let handler = WebSocketHandler::new(factory, NotFound);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = http2::Builder::new(TokioExecutor::new())
                .enable_connect_protocol()
                .serve_connection(TokioIo::new(stream), handler.clone());
            tokio::spawn(connection);
        }
    });

    sessions_work(addr).await;
}

#[tokio::test]
async fn axum_serves_sessions_beside_its_routes() {
    let handler = Servlets::new().mount("/chat", fickle).unwrap();
    let app = Router::new()
        .route("/page", any(|| async { "a page" }))
        .fallback_service(handler.around(NotFound));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    sessions_work(addr).await;
    let page = http::Request::get("http://example.com/page");
    let page = page.body(http_body_util::Empty::new()).unwrap();
    let answer = Client::connect(addr).await.refused(page).await;
    assert_eq!(answer, (200, "a page".to_owned()));
}

/// What the documentation says of a tower stack and of a handler function holds here, too.
#[tokio::test]
async fn handler_function_of_ones_own_accepts_sessions() {
    let factory = fickle(WebSocketFactory::builder()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = move |stream: TcpStream| {
        let factory = factory.clone();
        let service = ws_handler::service_fn(move |mut request| {
            let factory = factory.clone();
            async move {
                let answer = factory.accept(&mut request).await.unwrap();
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        http2::Builder::new(TokioExecutor::new())
            .enable_connect_protocol()
            .serve_connection(TokioIo::new(stream), service)
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });

    sessions_work(addr).await;
}
