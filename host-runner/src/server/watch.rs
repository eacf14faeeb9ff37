//! `serve --watch`: a component's file, and what it becomes.
//!
//! The file is looked at every now and then: that works on every system and in every container, and a
//! change is only believed when the file has been the same twice, so that one which is being written is let be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::guest::load::component::{Component, Loader};

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_millis(200);

/// What tells one state of a file from another.
type Stamp = Option<(SystemTime, u64)>;

/// A component's file, as it was when the component was loaded.
#[derive(Debug)]
pub struct Watched {
    file: PathBuf,
    loaded: Stamp,
}

impl Watched {
    /// The file as it is now. To be called before it is loaded: a change meanwhile is seen then.
    pub fn new(file: &Path) -> Self {
        Self {
            file: file.into(),
            loaded: stamp(file),
        }
    }

    /// Hands over what the file becomes, for ever; `replace` says how many connections are on the one before.
    /// What cannot be served is reported; what has been served stays.
    pub async fn follow(mut self, loader: &Loader, replace: impl AsyncFn(Component) -> usize) {
        loop {
            self.changed().await;
            let file = self.file.display();
            match load(loader, &self.file).await {
                Ok(component) => {
                    let connections = replace(component).await;
                    tracing::info!(connections, "{file} has changed: serving it anew");
                }
                Err(error) => {
                    tracing::error!("{file} has changed, the one before is served on: {error}");
                }
            }
        }
    }

    /// Waits until the file is another than the last time, and rests. One that is gone is waited for.
    async fn changed(&mut self) {
        let mut last = self.loaded;
        loop {
            sleep(PERIOD).await;
            let now = stamp(&self.file);
            if now.is_some() && now != self.loaded && now == last {
                self.loaded = now;
                return;
            }
            last = now;
        }
    }
}

fn stamp(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Compiles on a thread of its own: it may take seconds, and connections go on meanwhile.
async fn load(loader: &Loader, file: &Path) -> Result<Component, String> {
    let (loader, file) = (loader.clone(), file.to_owned());
    match spawn_blocking(move || loader.file(&file)).await {
        Ok(loaded) => loaded.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
