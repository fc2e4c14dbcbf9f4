//! Which coordinator a command speaks to: named contexts in `~/.config/dialmesh/contexts.toml`.

use crate::failure::Failure;
use anyhow::{Context as _, Result};
use domain::Secret;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

/// How to reach a mesh.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The admin API (`http://127.0.0.1:7480`).
    pub(crate) url: String,
    /// The API token.
    pub(crate) token: Secret,
}

/// Every context of this user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that commands use.
    #[serde(default)]
    pub(crate) current: String,
    /// By name.
    #[serde(default)]
    pub(crate) context: BTreeMap<String, Context>,
}

/// Where contexts lie: `DIALMESH_CONTEXTS`, else under `XDG_CONFIG_HOME` or `~/.config`.
pub(crate) fn file() -> Result<PathBuf> {
    if let Some(path) = env::var_os("DIALMESH_CONTEXTS") {
        return Ok(path.into());
    }
    let base = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
        .context("neither XDG_CONFIG_HOME nor HOME is set; set DIALMESH_CONTEXTS to a file")?;
    Ok(base.join("dialmesh/contexts.toml"))
}

/// The URL as it is kept, or what is wrong with it.
pub(crate) fn check_url(url: &str) -> Result<String, Failure> {
    let host = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => {
            Ok(format!("http://{host}"))
        }
        _ => Err(Failure::usage(format!(
            "{url:?} is not the URL of an admin API; expected http://HOST:PORT and nothing behind it \
             (for a coordinator elsewhere, forward its port through SSH)"
        ))),
    }
}

impl Contexts {
    /// Reads them; none when there is no file yet.
    pub(crate) fn load() -> Result<Self> {
        Self::load_from(&file()?)
    }

    fn load_from(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text)
                .with_context(|| format!("{} cannot be read; mend or delete it", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes them, readable by the user alone; returns where.
    pub(crate) fn save(&self) -> Result<PathBuf> {
        let path = file()?;
        self.save_to(&path)?;
        Ok(path)
    }

    /// Whole or not at all: a crash leaves the file as it was.
    fn save_to(&self, path: &Path) -> Result<()> {
        let place = || format!("cannot write {}", path.display());
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Such files are made with mode 0600.
        let mut fresh = tempfile::NamedTempFile::new_in(folder).with_context(place)?;
        fresh
            .write_all(toml::to_string_pretty(self)?.as_bytes())
            .with_context(place)?;
        fresh.as_file().sync_all().with_context(place)?;
        fresh.persist(path).with_context(place)?;
        Ok(())
    }

    /// Enters a context; it becomes the current one.
    pub(crate) fn enter(&mut self, name: &str, context: Context) {
        self.context.insert(name.to_owned(), context);
        name.clone_into(&mut self.current);
    }

    /// The context a command uses: by flag, else the current one.
    pub(crate) fn pick(&self, named: Option<&str>) -> Result<Context> {
        let name = named.unwrap_or(&self.current);
        self.context.get(name).cloned().ok_or_else(|| {
            let what = if name.is_empty() {
                "no context is chosen".to_owned()
            } else {
                format!("there is no context {name:?}")
            };
            Failure::usage(format!(
                "{what} ({}); `dialmesh context add NAME --url URL --token-file FILE` makes one, \
                 `dialmesh coordinator init` makes the first",
                self.known()
            ))
            .into()
        })
    }

    /// The names, for messages.
    pub(crate) fn known(&self) -> String {
        let names: Vec<_> = self.context.keys().map(String::as_str).collect();
        if names.is_empty() {
            "none are known".to_owned()
        } else {
            format!("known: {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_for_the_user_alone_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/contexts.toml");
        assert!(Contexts::load_from(&path).unwrap().context.is_empty());
        let mut contexts = Contexts::default();
        let context = Context {
            url: "http://127.0.0.1:7480".into(),
            token: Secret::new("dm_abc"),
        };
        contexts.enter("home", context);
        for _ in 0..2 {
            contexts.save_to(&path).unwrap();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        let read = Contexts::load_from(&path).unwrap();
        assert_eq!(read.pick(None).unwrap().token.expose(), "dm_abc");
        let wrong = read.pick(Some("away")).unwrap_err().to_string();
        assert!(
            wrong.contains("away") && wrong.contains("known: home"),
            "{wrong}"
        );
        assert!(!format!("{read:?}").contains("dm_abc"));
        fs::write(&path, "current = 7").unwrap();
        assert!(
            Contexts::load_from(&path)
                .unwrap_err()
                .to_string()
                .contains("contexts.toml")
        );
    }

    #[test]
    fn urls_are_checked() {
        assert_eq!(
            check_url("http://127.0.0.1:7480/").unwrap(),
            "http://127.0.0.1:7480"
        );
        for wrong in [
            "127.0.0.1:7480",
            "https://a",
            "http://",
            "http://a/api/v1",
            "http://u@h",
        ] {
            assert!(check_url(wrong).is_err(), "{wrong}");
        }
    }
}
