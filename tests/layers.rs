//! The order of the layers, in every crate that has some: imports go down only, and folders stay small enough to
//! read at a glance.
#![allow(clippy::expect_used, reason = "how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// The layers of a crate, lowest first. Those of one line do not know each other.
struct Layers {
    source: &'static str,
    floors: &'static [&'static [&'static str]],
}

const CRATES: [Layers; 7] = [
    Layers {
        source: "src",
        floors: &[
            &["head"],
            &["protocol"],
            &["topics"],
            &["session"],
            &["outside"],
            &["web_socket"],
            &["app"],
            &["raw_stream", "events"],
            &["grip"],
            &["component"],
        ],
    },
    Layers {
        source: "bus/src",
        floors: &[
            &["topic", "position", "settings"],
            &["message"],
            &["observe", "limits"],
            &["engine", "delivery"],
            &["local", "driver"],
            &["bus"],
        ],
    },
    Layers {
        source: "host-core/src",
        floors: &[&["http1", "turn", "topics"], &["answer"]],
    },
    Layers {
        source: "host-runner/src",
        floors: &[
            &["contract"],
            &["net"],
            &["guest"],
            &["limits"],
            &["observe"],
            &["topics"],
            &["process", "pool"],
            &["session"],
            &["http"],
            &["server"],
        ],
    },
    Layers {
        source: "cli/src",
        floors: &[
            &["parse", "json_log"],
            &["commands"],
            &["cli"],
            &["config_file"],
        ],
    },
    Layers {
        source: "components/server/src",
        floors: &[
            &["options"],
            &["log", "handler"],
            &["topics"],
            &["time", "context"],
            &["socket"],
            &["listener", "client"],
            &["server"],
            &["run"],
        ],
    },
    Layers {
        source: "test-kit/src",
        floors: &[
            &["contract", "build", "fault"],
            &["request", "response", "app", "bus"],
            &["host"],
            &["socket"],
            &["connection"],
            &["kit"],
        ],
    },
];

/// The most entries that a folder of sources may have.
const MAX_ENTRIES: usize = 12;

/// Files that import each other across a floor on purpose, with the reason.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "test-kit/src/socket",
    "kit",
    "a socket is made by the kit, and hands it back",
)];

impl Layers {
    fn floor(&self, name: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&name))
    }

    /// What a file of the folder `own` imports that it must not.
    fn violations(&self, own: &str, text: &str) -> Vec<String> {
        let Some(floor) = self.floor(own) else {
            return vec![format!("`{own}` has no floor: add it to tests/layers.rs")];
        };
        let imported = imports(text).into_iter().filter(|name| name != own);
        let above = |name: &String| self.floor(name).is_some_and(|other| other >= floor);
        imported
            .filter(above)
            .map(|name| {
                format!(
                    "`{own}` imports `{name}`, which is not below it: {}",
                    self.order()
                )
            })
            .collect()
    }

    fn order(&self) -> String {
        let floors: Vec<_> = self.floors.iter().map(|floor| floor.join(", ")).collect();
        floors.join(" < ")
    }
}

/// The modules at the top of the crate that a source imports, its tests and comments left out.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut names = vec![];
    for rest in code.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest
                .split_terminator(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap_or_default(),
        };
        let parts = list.split(',').map(str::trim);
        names.extend(parts.map(|part| part.split("::").next().unwrap_or_default().to_owned()));
    }
    names
}

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder; of folders named `tests`, none.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The name of the folder, or file, at the top of the crate that a file is in.
fn top(relative: &Path) -> String {
    let first = relative.components().next().expect("a name");
    let name = Path::new(first.as_os_str()).with_extension("");
    name.display().to_string()
}

#[test]
fn imports_go_down_only() {
    let mut broken = vec![];
    for layers in &CRATES {
        let root = workspace().join(layers.source);
        for file in sources(&root) {
            let own = top(file.strip_prefix(&root).expect("a file below the root"));
            if ["lib", "main"].contains(&&*own) {
                continue;
            }
            let text = fs::read_to_string(&file).expect("a source");
            let place = file
                .strip_prefix(workspace())
                .expect("a file of the repository");
            for violation in layers.violations(&own, &text) {
                let is_excepted = |(file, name, _): &&(&str, &str, &str)| {
                    place.with_extension("").starts_with(file)
                        && violation.contains(&format!("imports `{name}`"))
                };
                if !EXCEPTIONS.iter().any(|exception| is_excepted(&exception)) {
                    broken.push(format!("{}: {violation}", place.display()));
                }
            }
        }
    }
    assert!(
        broken.is_empty(),
        "imports that go up:\n{}",
        broken.join("\n")
    );
}

#[test]
fn folders_have_few_entries() {
    let mut wide = vec![];
    for layers in &CRATES {
        let root = workspace().join(layers.source);
        let mut folders: Vec<_> = sources(&root)
            .iter()
            .filter_map(|file| file.parent().map(Path::to_owned))
            .collect();
        folders.dedup();
        for folder in folders {
            let entries = fs::read_dir(&folder).expect("a folder").count();
            if entries > MAX_ENTRIES {
                wide.push(format!("{}: {entries} entries", folder.display()));
            }
        }
    }
    assert!(
        wide.is_empty(),
        "folders with more than {MAX_ENTRIES} entries; look for a second noun:\n{}",
        wide.join("\n")
    );
}

#[test]
fn an_upward_import_is_reported_with_the_order() {
    let layers = Layers {
        source: "",
        floors: &[&["net"], &["http"]],
    };
    let up = "use crate::http::hosts::Hosts;\nuse crate::net::peer::Peer;";
    let found = layers.violations("net", up);
    assert_eq!(
        found,
        ["`net` imports `http`, which is not below it: net < http"]
    );
    let down = "use crate::{net::peer, Error};\n// crate::http\n#[cfg(test)]\nmod tests { use crate::http; }";
    assert!(
        layers
            .violations("http", "use crate::net::peer;")
            .is_empty()
    );
    assert!(layers.violations("net", down).is_empty());
    assert_eq!(layers.violations("new", "").len(), 1);
}
