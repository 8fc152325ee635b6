//! No deadline hangs on the time of day, which an administrator or a time server may set by a day:
//! the sources ask for monotonic time only.

use std::{fs, path::Path};

/// The code of every source file in a folder, without its comments.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources.extend(self::sources(&path));
        } else {
            let text = fs::read_to_string(&path).expect("a text file");
            let code = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default());
            let code = code.collect::<Vec<_>>().join("\n");
            sources.push((path.display().to_string(), code));
        }
    }
    sources
}

/// Hostile input T8.
#[test]
fn no_source_asks_for_the_time_of_day() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for package in ["ws-factory", "ws-handler"] {
        let sources = sources(&crates.join(package).join("src"));
        assert!(sources.len() >= 8, "the sources were found");
        let names = |word: &str| -> Vec<&String> {
            let naming = sources.iter().filter(|(_, code)| code.contains(word));
            naming.map(|(path, _)| path).collect()
        };

        for word in ["SystemTime", "UNIX_EPOCH", "chrono", "std::time::Instant"] {
            assert_eq!(names(word), Vec::<&String>::new(), "{word}");
        }
        assert!(!names("Instant").is_empty(), "the search finds");
    }
}
