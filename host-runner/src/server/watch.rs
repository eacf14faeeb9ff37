//! `serve --watch`: reloading of a component when its file changes.
//!
//! The file is polled, which works on every system and in every container. A change counts only once the file has looked
//! the same twice, so that a file still being written is left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::guest::load::component::{Component, Loader};

/// Time between checks of the file.
const PERIOD: Duration = Duration::from_millis(200);

/// Modification time and length of a file, to detect changes.
type Stamp = Option<(SystemTime, u64)>;

/// A watched file, in the state in which its component was loaded.
#[derive(Debug)]
pub struct Watched {
    file: PathBuf,
    loaded: Stamp,
    /// Why the file cannot be loaded, if it cannot: said once, however often a broken file is written.
    error: Option<String>,
}

impl Watched {
    /// The file in its current state. Call this before loading it, so that a change in between is noticed.
    pub fn new(file: &Path) -> Self {
        Self {
            file: file.into(),
            loaded: stamp(file),
            error: None,
        }
    }

    /// Passes each new version to `replace`, which returns the number of connections still on the previous one; never
    /// returns. A version that cannot be loaded is reported, and the previous one stays.
    pub async fn follow(mut self, loader: &Loader, replace: impl AsyncFn(Component) -> usize) {
        loop {
            self.changed().await;
            let file = self.file.display();
            match load(loader, &self.file).await {
                Ok(component) => {
                    self.error = None;
                    let connections = replace(component).await;
                    tracing::info!(connections, "{file} changed and was reloaded");
                }
                Err(error) if self.error.as_ref() != Some(&error) => {
                    tracing::error!(
                        "{file} changed but could not be loaded, still serving the previous version: {error}"
                    );
                    self.error = Some(error);
                }
                Err(_) => {}
            }
        }
    }

    /// Waits until the file has changed and is stable again. A missing file is waited for.
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

/// Compiles on a thread of its own, as it may take seconds and connections continue meanwhile.
async fn load(loader: &Loader, file: &Path) -> Result<Component, String> {
    let (loader, file) = (loader.clone(), file.to_owned());
    match spawn_blocking(move || loader.file(&file)).await {
        Ok(loaded) => loaded.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
