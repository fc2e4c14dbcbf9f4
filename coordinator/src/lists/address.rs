//! From where a list comes. What an administrator may name is bounded, so that nobody makes the
//! coordinator ask or read whatever it can reach: a server that proves who it is, this very
//! machine, or files of one folder.

use reqwest::Url;
use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// A checked address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A server: over TLS, or on this machine.
    Server(Url),
    /// A file below the configured folder.
    File(PathBuf),
}

const EXPECTED: &str = "expected https://…, http:// on this machine (127.0.0.1, [::1], localhost), \
                        or file:///… below the folder [do_not_call] files";

impl Address {
    /// Reads an address; `files` is the folder that files may lie in.
    ///
    /// # Errors
    /// What is wrong with it, and what is expected.
    pub(super) fn parse(text: &str, files: Option<&Path>) -> Result<Self, String> {
        let url =
            Url::parse(text).map_err(|error| format!("is no address: {error}; {EXPECTED}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "holds a user or password, which would be shown and logged; give them in \
                        a header"
                    .to_owned(),
            );
        }
        if url.fragment().is_some() {
            return Err("has a fragment (#…), which no server sees; leave it out".to_owned());
        }
        match url.scheme() {
            "https" => Ok(Self::Server(url)),
            "http" if is_here(&url) => Ok(Self::Server(url)),
            "http" => Err(format!("is http to another machine; {EXPECTED}")),
            "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| format!("is no file of this machine; {EXPECTED}"))?;
                let Some(files) = files else {
                    let why = "is a file, and the coordinator's configuration has no folder for \
                               lists; set `files` in [do_not_call]";
                    return Err(why.to_owned());
                };
                if !path.starts_with(files) {
                    let folder = files.display();
                    return Err(format!("is not below {folder}, where lists must lie"));
                }
                Ok(Self::File(path))
            }
            other => Err(format!("is of scheme {other}; {EXPECTED}")),
        }
    }

    /// Whether what is said on the way may be read by others.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Server(url) if url.scheme() == "https")
    }
}

/// Whether a server is on this machine.
fn is_here(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The file that a path leads to, links followed, if it still lies below the folder.
pub(super) fn file_below(path: &Path, files: &Path) -> io::Result<PathBuf> {
    let (found, folder) = (path.canonicalize()?, files.canonicalize()?);
    if found.starts_with(&folder) && found.is_file() {
        return Ok(found);
    }
    let why = format!(
        "{} leads to no file below {}",
        path.display(),
        folder.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_proven_servers_this_machine_and_one_folder() {
        let files = Some(Path::new("/srv/lists"));
        for good in [
            "https://registry.example/a?b=c",
            "https://192.0.2.1:8443/",
            "http://127.0.0.1:8080/list",
            "http://127.9.9.9/",
            "http://[::1]/",
            "http://localhost:80/",
            "file:///srv/lists/us/ftc.txt",
        ] {
            assert!(Address::parse(good, files).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", "is no address"),
            ("registry.example", "is no address"),
            ("ftp://registry.example/", "scheme ftp"),
            ("http://registry.example/", "another machine"),
            ("http://127.0.0.1.example/", "another machine"),
            ("http://0.0.0.0/", "another machine"),
            ("http://169.254.169.254/latest", "another machine"),
            ("http://[::ffff:10.0.0.1]/", "another machine"),
            ("https://me:secret@registry.example/", "in a header"),
            ("https://registry.example/#x", "fragment"),
            ("file://elsewhere/srv/lists/x", "no file of this machine"),
            ("file:///etc/passwd", "not below"),
            ("file:///srv/lists/../x", "not below"),
            ("file:///srv/lists-2/x", "not below"),
        ] {
            let said = Address::parse(bad, files).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
        let none = Address::parse("file:///srv/lists/x", None).unwrap_err();
        assert!(none.contains("[do_not_call]"), "{none}");
    }

    #[test]
    fn links_lead_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("lists"), dir.path().join("secret"));
        fs::create_dir(&inside).unwrap();
        fs::write(&outside, "x").unwrap();
        let (good, link) = (inside.join("a"), inside.join("b"));
        fs::write(&good, "x").unwrap();
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        assert!(file_below(&good, &inside).is_ok());
        for bad in [&link, &inside, &inside.join("none")] {
            assert!(file_below(bad, &inside).is_err(), "{}", bad.display());
        }
    }
}
