//! Python, and one package of it at a pinned version in a virtual environment of our own.
//!
//! The environment is made under the target folder and used again as long as it answers with
//! the pinned version; whatever does not, a half-made one included, is made anew.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::child;

/// The name of a Python that is good enough.
#[derive(Debug)]
pub(crate) struct Python(&'static str);

impl Python {
    /// The first of the usual names that is Python 3.`minor` or later, with the modules that make
    /// an environment (Debian packages them apart); or why there is none.
    pub(crate) fn find(minor: u32) -> Result<Self, String> {
        let usable = |name: &&str| {
            let mut ask = Command::new(name);
            ask.args(["-c", ASK_PYTHON, &minor.to_string()]);
            child::capture(&mut ask, ANSWER).is_ok_and(|captured| captured.status.success())
        };
        let found = ["python3", "python"].into_iter().find(usable);
        found
            .map(Self)
            .ok_or_else(|| format!("no Python 3.{minor} or later with its venv module was found"))
    }
}

/// An environment with its package.
#[derive(Debug)]
pub(crate) struct Venv {
    /// The environment's own.
    python: PathBuf,
}

impl Venv {
    /// Finds the environment in `folder`, or makes it with `python`.
    pub(crate) fn install(
        python: &Python,
        folder: &Path,
        package: &str,
        version: &str,
    ) -> Result<Self, String> {
        let programs = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
        let venv = Self {
            python: programs.join("python"),
        };
        if venv.version_of(package).as_deref() == Some(version) {
            return Ok(venv);
        }
        if folder.exists() {
            fs::remove_dir_all(folder)
                .map_err(|error| format!("{} is in the way: {error}", folder.display()))?;
        }
        let mut make = Command::new(python.0);
        make.args(["-m", "venv"]).arg(folder);
        child::capture(&mut make, INSTALL)?.success("making a virtual environment")?;

        let mut install = venv.python();
        install.args(["-m", "pip", "install", "--disable-pip-version-check"]);
        install.args(["--no-input", &format!("{package}=={version}")]);
        child::capture(&mut install, INSTALL)?.success(&format!("installing {package}"))?;
        match venv.version_of(package) {
            Some(found) if found == version => Ok(venv),
            found => Err(format!("installed {package} {version}, found {found:?}")),
        }
    }

    /// The environment's Python, to be given arguments.
    pub(crate) fn python(&self) -> Command {
        Command::new(&self.python)
    }

    /// What the environment says that it has, or `None` when it cannot even be asked.
    fn version_of(&self, package: &str) -> Option<String> {
        let mut ask = self.python();
        ask.args(["-c", ASK_VERSION, package]);
        let captured = child::capture(&mut ask, ANSWER).ok()?;
        let answered = captured.status.success();
        answered.then(|| captured.stdout.trim().to_owned())
    }
}

/// How long a question to Python may take: the first start of a fresh environment compiles what
/// it imports.
pub(crate) const ANSWER: Duration = Duration::from_secs(60);

/// A new environment with one download of at most 3 MB: minutes on a slow line.
const INSTALL: Duration = Duration::from_secs(300);

const ASK_PYTHON: &str = "\
import sys, venv, ensurepip
sys.exit(sys.version_info < (3, int(sys.argv[1])))";

/// The import tells an environment that is half made.
const ASK_VERSION: &str = "\
import importlib, importlib.metadata, sys
importlib.import_module(sys.argv[1])
print(importlib.metadata.version(sys.argv[1]))";
