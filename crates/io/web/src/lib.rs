//! The pages' sources, and the built pages embedded.
//!
//! The sources are one Vite project in this folder; `cargo xtask web` builds it with npm into
//! `dist/`, and the next build of this crate embeds whatever lies there. Without it the binary
//! works and its pages say what to do.

/// A built file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its path below `/`, without the slash: `index.html`, `assets/console-1a2b.js`.
    pub path: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    /// A quoted hash of its content, for `ETag`.
    pub etag: &'static str,
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The command that builds the pages.
pub const BUILD_COMMAND: &str = "cargo xtask web";

/// Where a page's template has this, the server writes the nonce of the response's
/// Content-Security-Policy.
pub const NONCE_PLACE: &str = "__CSP_NONCE__";

/// Every built file, by path.
pub fn files() -> &'static [File] {
    FILES
}

/// The file of a path without leading slash.
pub fn file(path: &str) -> Option<&'static File> {
    FILES
        .binary_search_by_key(&path, |file| file.path)
        .ok()
        .map(|at| &FILES[at])
}

/// A page for people. Each is served by one kind of member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The live mesh, by a coordinator.
    Console,
    /// An agent's desk, by the agent's node.
    Agent,
}

impl Page {
    /// The path of its document.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Console => "index.html",
            Self::Agent => "agent.html",
        }
    }
}

/// Whether a page was built before this crate was.
pub fn is_built(page: Page) -> bool {
    file(page.file()).is_some()
}

impl File {
    /// Its media type, by its ending.
    pub fn content_type(&self) -> &'static str {
        match self.path.rsplit('.').next().unwrap_or_default() {
            "html" => "text/html; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "json" | "map" => "application/json",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "ico" => "image/x-icon",
            "woff2" => "font/woff2",
            "txt" => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        }
    }

    /// Whether its name changes with its content, so that it may be kept for ever.
    pub fn is_immutable(&self) -> bool {
        self.path.starts_with("assets/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_and_found() {
        assert!(FILES.windows(2).all(|pair| pair[0].path < pair[1].path));
        for known in FILES {
            assert_eq!(file(known.path).map(|f| f.path), Some(known.path));
            assert!(known.etag.starts_with('"') && known.etag.len() == 18);
        }
        assert!(file("../Cargo.toml").is_none());
    }

    #[test]
    fn a_built_page_holds_the_place_of_the_nonce() {
        for page in [Page::Console, Page::Agent] {
            let Some(document) = file(page.file()) else {
                continue;
            };
            let text = std::str::from_utf8(document.bytes).unwrap();
            assert!(
                text.contains(NONCE_PLACE),
                "the styles of {page:?} would be refused"
            );
        }
    }
}
