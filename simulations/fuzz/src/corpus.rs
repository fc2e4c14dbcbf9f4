//! What inputs are made of: messages as peers send them, and whatever once failed.
//!
//! Files in `corpus/TARGET/` hold a message each. SIP targets also have the messages of RFC 4475 and
//! RFC 5118 where those are at hand.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .collect()
}

fn load() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let torture = here.join("../../../shared/data/sip-torture");
    let torture = [files(&torture), files(&torture.join("rfc5118"))].concat();
    let all = super::TARGETS.iter().map(|target| {
        let mut corpus = files(&here.join("corpus").join(target.corpus));
        if target.corpus == "sip" {
            corpus.extend(torture.iter().cloned());
        }
        assert!(!corpus.is_empty(), "no corpus for {}", target.name);
        (target.name, corpus)
    });
    all.collect()
}

/// The messages of a target.
pub(crate) fn of(target: &str) -> &'static [Vec<u8>] {
    static CORPORA: OnceLock<BTreeMap<&'static str, Vec<Vec<u8>>>> = OnceLock::new();
    &CORPORA.get_or_init(load)[target]
}
