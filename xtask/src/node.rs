//! Node.js, and one package of it at a pinned version in a folder of our own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::child;

/// A folder from which a module finds its package.
#[derive(Debug)]
pub(crate) struct Node {
    folder: PathBuf,
}

impl Node {
    /// Whether there is a Node.js that is good enough, and npm; or why not.
    pub(crate) fn look() -> Result<(), String> {
        let answers = |command: &mut Command| {
            child::capture(command, ANSWER).is_ok_and(|captured| captured.status.success())
        };
        let node = answers(Self::command().args(["--eval", ASK_NODE]));
        let found = node && answers(Command::new(NPM).arg("--version"));
        found
            .then_some(())
            .ok_or_else(|| "no node 18 or later with npm was found".to_owned())
    }

    /// Finds the package in `folder`, or installs it there.
    pub(crate) fn install(folder: &Path, package: &str, version: &str) -> Result<Self, String> {
        let node = Self {
            folder: folder.to_owned(),
        };
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        if node.version_of(package).as_deref() == Some(version) {
            return Ok(node);
        }
        let mut install = Command::new(NPM);
        install.args(["install", "--prefix"]).arg(folder);
        install.args(["--no-save", "--no-package-lock", "--ignore-scripts"]);
        install.args(["--no-audit", "--no-fund", &format!("{package}@{version}")]);
        child::capture(&mut install, INSTALL)?.success(&format!("installing {package}"))?;
        match node.version_of(package) {
            Some(found) if found == version => Ok(node),
            found => Err(format!("installed {package} {version}, found {found:?}")),
        }
    }

    /// Writes the module `text` and says where: a module finds packages beside itself only.
    pub(crate) fn module(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let place = self.folder.join(name);
        fs::write(&place, text).map_err(|error| format!("{}: {error}", place.display()))?;
        Ok(place)
    }

    /// Node.js, to be given a module.
    pub(crate) fn command() -> Command {
        Command::new("node")
    }

    /// What is installed, or `None` when there is nothing.
    fn version_of(&self, package: &str) -> Option<String> {
        let mut ask = Self::command();
        ask.args(["--print", ASK_VERSION, package]);
        ask.current_dir(&self.folder);
        let captured = child::capture(&mut ask, ANSWER).ok()?;
        let answered = captured.status.success();
        answered.then(|| captured.stdout.trim().to_owned())
    }
}

/// On Windows it is a script, which is not found by its bare name.
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// The first version whose `AbortSignal` has a timeout and that is still mended.
const ASK_NODE: &str = "process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)";

const ASK_VERSION: &str = "\
const place = `node_modules/${process.argv[1]}/package.json`;
JSON.parse(require('fs').readFileSync(place)).version";

/// A question to Node.js or npm, on a machine that may be slow.
const ANSWER: Duration = Duration::from_secs(60);

/// One download of 150 KB: minutes on a slow line.
const INSTALL: Duration = Duration::from_secs(300);
