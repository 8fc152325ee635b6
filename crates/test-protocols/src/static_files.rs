//! A request that is no upgrade in, a file or a page of our own out.
//!
//! With a docroot, the files below it, which `docroot` finds; `index.html` stands for its
//! directory, and directories are never listed. Without one, the demo page that is built in.
//!
//! A file is streamed: a response holds one chunk of it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{
        ALLOW, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::{Either, Full};

use crate::{
    docroot::{Docroot, DocrootError, Found},
    file_body::FileBody,
};

/// Answers `GET` and `HEAD` from a directory, or with the built-in page. A cheap clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let files = test_protocols::StaticFiles::new(None).expect("nothing to look for");
/// let response = files.serve(&http::Request::new(())).await;
/// assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StaticFiles {
    docroot: Option<Docroot>,
}

impl StaticFiles {
    /// Serves what is below `docroot`; with `None` the built-in page.
    ///
    /// # Errors
    ///
    /// [`DocrootError`] if `docroot` is not a directory that can be reached.
    pub fn new(docroot: Option<PathBuf>) -> Result<Self, DocrootError> {
        let docroot = docroot.map(Docroot::new).transpose()?;
        Ok(Self { docroot })
    }

    /// Answers `request`, whose body is not looked at, with 200; 307 to a directory's name with the
    /// slash that it lacks; 404; 405; or 500 if a file that is there cannot be opened.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed by it.
    pub fn serve<B>(
        &self,
        request: &Request<B>,
    ) -> impl Future<Output = Response<StaticBody>> + Send + use<B> {
        let docroot = self.docroot.clone();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        async move {
            let mut response = match (&method, docroot) {
                (&Method::GET | &Method::HEAD, Some(docroot)) => file(&docroot, &uri).await,
                (&Method::GET | &Method::HEAD, None) => page(uri.path()),
                _ => method_not_allowed(),
            };
            let headers = response.headers_mut();
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            if method == Method::HEAD {
                *response.body_mut() = Either::Left(Full::default());
            }
            response
        }
    }
}

/// The body of every response of [`StaticFiles`].
pub type StaticBody = Either<Full<Bytes>, FileBody>;

async fn file(docroot: &Docroot, uri: &Uri) -> Response<StaticBody> {
    match docroot.find(uri.path()).await {
        Ok(Found::File { name, file, bytes }) => {
            let body = Either::Right(FileBody::new(file, bytes));
            response(StatusCode::OK, &content_type(&name), bytes, body)
        }
        Ok(Found::DirectoryWithoutSlash) => redirect_to_directory(uri),
        Ok(Found::Nothing) => not_found(),
        Err(error) => {
            tracing::warn!(path = uri.path(), %error, "a file cannot be opened");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the file cannot be opened\n",
            )
        }
    }
}

fn content_type(name: &Path) -> String {
    let guess = mime_guess::from_path(name).first_or_octet_stream();
    if guess.type_() == mime_guess::mime::TEXT {
        format!("{guess}; charset=utf-8")
    } else {
        guess.to_string()
    }
}

fn page(path: &str) -> Response<StaticBody> {
    let (content_type, content) = match path {
        "/" | "/index.html" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/page.css" => ("text/css; charset=utf-8", include_str!("page/page.css")),
        "/page.js" => (
            "text/javascript; charset=utf-8",
            include_str!("page/page.js"),
        ),
        "/stats.js" => (
            "text/javascript; charset=utf-8",
            include_str!("page/stats.js"),
        ),
        // Browsers ask for it unasked; an empty answer keeps their console clean.
        "/favicon.ico" => return no_content(),
        _ => return not_found(),
    };
    let body = Either::Left(Full::from(content));
    let mut response = response(StatusCode::OK, content_type, content.len() as u64, body);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(PAGE_POLICY),
    );
    response
}

/// Without the slash, the relative links of the directory's page would point beside it.
fn redirect_to_directory(uri: &Uri) -> Response<StaticBody> {
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let Ok(location) = HeaderValue::try_from(format!("{}/{query}", uri.path())) else {
        return not_found();
    };
    let mut response = text(StatusCode::TEMPORARY_REDIRECT, "");
    response.headers_mut().insert(LOCATION, location);
    response
}

fn not_found() -> Response<StaticBody> {
    text(StatusCode::NOT_FOUND, "not found\n")
}

fn no_content() -> Response<StaticBody> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(crate) fn method_not_allowed() -> Response<StaticBody> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET or HEAD\n");
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

fn text(status: StatusCode, content: &'static str) -> Response<StaticBody> {
    let body = Either::Left(Full::from(content));
    response(
        status,
        "text/plain; charset=utf-8",
        content.len() as u64,
        body,
    )
}

/// The length is in the head, not only in the body, so that the answer to `HEAD` has it too.
pub(crate) fn response(
    status: StatusCode,
    content_type: &str,
    bytes: u64,
    body: StaticBody,
) -> Response<StaticBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, bytes.into());
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    response
}

/// The page is its own files, `/stats` and a socket; `connect-src` names the schemes because not every
/// browser takes `'self'` to include `ws:`.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'";

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::docroot::tests::Scene;

    impl Scene {
        fn files(&self) -> StaticFiles {
            StaticFiles::new(Some(self.docroot())).unwrap()
        }
    }

    async fn respond(files: &StaticFiles, method: &str, path: &str) -> Response<StaticBody> {
        let request = Request::builder().method(method).uri(path);
        files.serve(&request.body(()).unwrap()).await
    }

    /// Status, content type and body; the length that the head promises is checked on the way.
    async fn ask(files: &StaticFiles, path: &str) -> (StatusCode, String, Bytes) {
        let (head, body) = respond(files, "GET", path).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let header = |name| head.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("content-length"), body.len().to_string(), "{path}");
        (head.status, header("content-type"), body)
    }

    #[tokio::test]
    async fn files_below_the_docroot_are_served_with_their_type() {
        let scene = Scene::new();
        let files = scene.files();
        let cases = [
            ("/", "text/html; charset=utf-8", "<p>root"),
            ("/index.html", "text/html; charset=utf-8", "<p>root"),
            ("/?x=..", "text/html; charset=utf-8", "<p>root"),
            ("/sub/", "text/html; charset=utf-8", "<p>sub"),
            ("/sub/index.html?x", "text/html; charset=utf-8", "<p>sub"),
            ("/a%20b.txt", "text/plain; charset=utf-8", "space"),
            ("/a%2520b.txt", "text/plain; charset=utf-8", "percent"),
            ("/gr%C3%BCn.json", "application/json", "{}"),
            ("/empty.bin", "application/octet-stream", ""),
        ];

        for (path, content_type, content) in cases {
            let (status, got_type, body) = ask(&files, path).await;

            assert_eq!(status, StatusCode::OK, "{path}");
            assert_eq!(got_type, content_type, "{path}");
            assert_eq!(body, content, "{path}");
        }
    }

    #[tokio::test]
    async fn a_directory_without_its_slash_redirects_to_itself() {
        let scene = Scene::new();
        let files = scene.files();

        let response = respond(&files, "GET", "/sub?x=1").await;

        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()[LOCATION], "/sub/?x=1");
    }

    #[tokio::test]
    async fn head_has_the_head_of_get_and_no_body() {
        let scene = Scene::new();
        let files = scene.files();

        let (get, _) = respond(&files, "GET", "/").await.into_parts();
        let (head, body) = respond(&files, "HEAD", "/").await.into_parts();

        assert_eq!(head.headers, get.headers);
        assert_eq!(head.headers[CONTENT_LENGTH], "7");
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }

    #[tokio::test]
    async fn other_methods_are_told_which_are_allowed() {
        let scene = Scene::new();
        let files = scene.files();
        let page = StaticFiles::new(None).unwrap();

        for (files, method) in [(&files, "POST"), (&page, "DELETE"), (&page, "OPTIONS")] {
            let response = respond(files, method, "/").await;

            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        }
    }

    #[tokio::test]
    async fn icon_that_browsers_ask_for_is_empty() {
        let files = StaticFiles::new(None).unwrap();

        let response = respond(&files, "GET", "/favicon.ico").await;

        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }

    #[tokio::test]
    async fn without_a_docroot_there_is_the_page_and_nothing_else() {
        let files = StaticFiles::new(None).unwrap();
        let cases = [
            ("/", Some("text/html; charset=utf-8")),
            ("/index.html", Some("text/html; charset=utf-8")),
            ("/page.css", Some("text/css; charset=utf-8")),
            ("/page.js?v=1", Some("text/javascript; charset=utf-8")),
            ("/stats.js", Some("text/javascript; charset=utf-8")),
            ("/page", None),
            ("/Cargo.toml", None),
            ("//", None),
        ];

        for (path, content_type) in cases {
            let response = respond(&files, "GET", path).await;

            assert_eq!(
                response.status() == StatusCode::OK,
                content_type.is_some(),
                "{path}"
            );
            if let Some(content_type) = content_type {
                assert_eq!(response.headers()[CONTENT_TYPE], content_type);
                let policy = response.headers()[CONTENT_SECURITY_POLICY]
                    .to_str()
                    .unwrap();
                assert_eq!(
                    policy.split("; ").collect::<Vec<_>>(),
                    [
                        "default-src 'none'",
                        "script-src 'self'",
                        "style-src 'self'",
                        "img-src 'self' data:",
                        "connect-src 'self' ws: wss:",
                        "base-uri 'none'",
                        "form-action 'none'",
                    ]
                );
            }
        }
    }
}
