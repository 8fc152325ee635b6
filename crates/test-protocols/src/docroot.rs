//! The path of a request target in, an open file below a directory out.
//!
//! A path is split at `/` and each segment percent-decoded once; what then is empty, has a slash, a
//! backslash or a NUL in it, or starts with a dot (`..`, and also `.git`) names nothing. The file
//! system resolves the rest, and it must still be below the docroot when every symbolic link
//! has been followed.

use std::{
    borrow::Cow,
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use percent_encoding::percent_decode_str;
use tokio::fs::File;

/// A directory, by its name without symbolic links. A cheap clone.
#[derive(Clone, Debug)]
pub(crate) struct Docroot(Arc<Path>);

impl Docroot {
    /// # Errors
    ///
    /// [`DocrootError`] if `path` is not a directory that can be reached.
    pub(crate) fn new(path: PathBuf) -> Result<Self, DocrootError> {
        match fs::canonicalize(&path) {
            Ok(canonical) if canonical.is_dir() => Ok(Self(canonical.into())),
            Ok(_) => Err(DocrootError::NotADirectory { path }),
            Err(error) => Err(DocrootError::Unreachable { path, error }),
        }
    }

    /// What `path` stands for: a file, or a directory's `index.html` if it ends with a slash.
    ///
    /// # Errors
    ///
    /// An [`io::Error`] if a file is there and cannot be opened, but not for its permissions.
    pub(crate) async fn find(&self, path: &str) -> io::Result<Found> {
        let Some(target) = Target::parse(path) else {
            return Ok(Found::Nothing);
        };
        let Some((mut path, mut metadata)) = self.resolve(&target.relative).await else {
            return Ok(Found::Nothing);
        };
        let mut name = target.relative;
        match (metadata.is_dir(), target.ends_with_slash) {
            (true, false) => return Ok(Found::DirectoryWithoutSlash),
            (false, true) => return Ok(Found::Nothing),
            (false, false) => {}
            (true, true) => {
                name.push("index.html");
                match self.resolve(&name).await {
                    Some(index) => (path, metadata) = index,
                    None => return Ok(Found::Nothing),
                }
            }
        }
        // Opening a named pipe would wait for somebody to write to it.
        if !metadata.is_file() {
            return Ok(Found::Nothing);
        }
        match open(&path).await {
            Ok((file, bytes)) => Ok(Found::File { name, file, bytes }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Where `relative` really is, if that is still below the docroot.
    async fn resolve(&self, relative: &Path) -> Option<(PathBuf, Metadata)> {
        let path = tokio::fs::canonicalize(self.0.join(relative)).await.ok()?;
        if !path.starts_with(&self.0) {
            return None;
        }
        let metadata = tokio::fs::metadata(&path).await.ok()?;
        Some((path, metadata))
    }
}

/// What [`Docroot::find`] found.
#[derive(Debug)]
pub(crate) enum Found {
    File {
        /// The name that was asked for, below the docroot; the file may have another.
        name: PathBuf,
        file: File,
        bytes: u64,
    },
    DirectoryWithoutSlash,
    Nothing,
}

/// The directory to serve cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocrootError {
    /// It does not exist, or may not be entered.
    #[error("docroot {path:?}: {error}")]
    Unreachable {
        /// As it was given.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },

    /// It is a file, or something else without files in it.
    #[error("docroot {path:?} is not a directory")]
    NotADirectory {
        /// As it was given.
        path: PathBuf,
    },
}

/// What a path asks for; it exists only for paths that can name something below a docroot.
struct Target {
    relative: PathBuf,
    ends_with_slash: bool,
}

impl Target {
    fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let mut relative = PathBuf::new();
        if !path.is_empty() {
            let names = path.strip_suffix('/').unwrap_or(path);
            for segment in names.split('/') {
                relative.push(&*file_name(segment)?);
            }
        }
        Some(Self {
            relative,
            ends_with_slash: path.is_empty() || path.ends_with('/'),
        })
    }
}

/// The one name that `segment` stands for, if it cannot be taken for anything else.
fn file_name(segment: &str) -> Option<Cow<'_, str>> {
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    if name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return None;
    }
    // Neither empty nor, on Windows, a drive.
    let is_one_name = Path::new(&*name)
        .components()
        .eq([Component::Normal(OsStr::new(&*name))]);
    is_one_name.then_some(name)
}

async fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let bytes = file.metadata().await?.len();
    Ok((file, bytes))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        process,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    /// A directory with a docroot in it and a secret beside that; removed when dropped.
    pub(crate) struct Scene {
        base: PathBuf,
    }

    impl Scene {
        pub(crate) fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("static-files-{}-{count}", process::id());
            let base = std::env::temp_dir().join(name);
            let docroot = base.join("docroot");
            fs::create_dir_all(docroot.join("sub/empty")).unwrap();
            fs::create_dir_all(docroot.join(".git")).unwrap();
            fs::create_dir_all(base.join("docroot-beside")).unwrap();
            for (path, content) in [
                ("secret.txt", "secret"),
                ("docroot-beside/secret.txt", "secret"),
                ("docroot/.git/config", "secret"),
                ("docroot/index.html", "<p>root"),
                ("docroot/sub/index.html", "<p>sub"),
                ("docroot/a b.txt", "space"),
                ("docroot/a%20b.txt", "percent"),
                ("docroot/gr\u{fc}n.json", "{}"),
                ("docroot/empty.bin", ""),
            ] {
                fs::write(base.join(path), content).unwrap();
            }
            Self { base }
        }

        pub(crate) fn docroot(&self) -> PathBuf {
            self.base.join("docroot")
        }

        async fn find(&self, path: &str) -> Found {
            let docroot = Docroot::new(self.docroot()).unwrap();
            docroot.find(path).await.unwrap()
        }

        async fn has_file(&self, path: &str) -> bool {
            matches!(self.find(path).await, Found::File { .. })
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.base).unwrap();
        }
    }

    #[tokio::test]
    async fn a_path_that_leaves_the_docroot_is_not_found() {
        let scene = Scene::new();
        let absolute = format!("/{}/secret.txt", scene.base.display());
        let cases = [
            "/missing",
            "/../secret.txt",
            "/sub/../../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/%2E%2E%2Fsecret.txt",
            "/%252e%252e/secret.txt",
            "/..%5csecret.txt",
            "/..%5Csecret.txt",
            "/sub%5c..%5cindex.html",
            "/..;/secret.txt",
            "/./index.html",
            "/sub/./index.html",
            "/sub/../index.html",
            "/sub%2findex.html",
            "/../docroot-beside/secret.txt",
            "//index.html",
            "//",
            "/sub//index.html",
            "/sub//",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/%2Fetc%2Fpasswd",
            absolute.as_str(),
            "/index.html%00",
            "/index.html%00.txt",
            "/%ff",
            "/index.html/",
            "/index.html/x",
            "/.git/config",
            "/%2egit/config",
            "/sub/empty/",
            "*",
        ];

        for path in cases {
            let found = scene.find(path).await;

            assert!(matches!(found, Found::Nothing), "{path}: {found:?}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_symbolic_link_is_followed_only_if_it_stays_inside() {
        use std::os::unix::fs::symlink;
        let scene = Scene::new();
        let docroot = scene.docroot();
        for (target, link) in [
            ("../secret.txt", "out.txt"),
            ("..", "up"),
            ("../docroot-beside", "beside"),
            ("round", "round"),
            ("sub/index.html", "in.html"),
        ] {
            symlink(target, docroot.join(link)).unwrap();
        }
        symlink("../../secret.txt", docroot.join("sub/empty/index.html")).unwrap();

        for path in [
            "/out.txt",
            "/up/secret.txt",
            "/beside/secret.txt",
            "/round",
            "/sub/empty/",
        ] {
            assert!(!scene.has_file(path).await, "{path}");
        }
        assert!(scene.has_file("/in.html").await);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_is_no_file_is_not_opened() {
        use std::os::unix::net::UnixListener;
        let scene = Scene::new();
        let _socket = UnixListener::bind(scene.docroot().join("socket")).unwrap();

        assert!(!scene.has_file("/socket").await);
    }

    #[test]
    fn a_docroot_that_is_no_directory_is_an_error_that_names_it() {
        let scene = Scene::new();

        for (name, want) in [
            ("missing", "missing\": "),
            ("secret.txt", "not a directory"),
        ] {
            let error = Docroot::new(scene.base.join(name)).unwrap_err();

            assert!(error.to_string().contains(name), "{error}");
            assert!(error.to_string().contains(want), "{error}");
        }
    }
}
