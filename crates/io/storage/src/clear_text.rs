//! Looks for numbers that lie readable in a folder: the proof that nothing there gives them away.

use domain::PhoneNumber;
use memchr::memmem::Finder;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A number or a text found readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clear {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: usize,
    /// Which of those asked for, counted from 0: numbers first, then texts.
    pub which: usize,
    /// How it is written there.
    pub form: &'static str,
}

/// Every way in which our formats write a number; digits in ASCII cover `+` and CSV too.
fn forms(number: PhoneNumber) -> [(&'static str, Vec<u8>); 4] {
    let digits = number.digits();
    let varint = postcard::to_stdvec(&digits).expect("a number has a form");
    [
        ("digits", digits.to_string().into_bytes()),
        ("little-endian", digits.to_le_bytes().to_vec()),
        ("big-endian", digits.to_be_bytes().to_vec()),
        ("varint", varint),
    ]
}

/// Reads every file below `folder` and names each place where one of the numbers or texts (in UTF-8)
/// can be read: in digits, as an integer of 8 bytes, as a varint. For tests and auditors; reads
/// each file whole.
///
/// # Errors
/// A file cannot be read.
pub fn in_clear(folder: &Path, numbers: &[PhoneNumber], texts: &[&str]) -> io::Result<Vec<Clear>> {
    let of_numbers = numbers.iter().map(|number| forms(*number).to_vec());
    let of_texts = texts
        .iter()
        .map(|text| vec![("text", text.as_bytes().to_vec())]);
    let sought: Vec<(usize, &'static str, Finder<'static>)> = of_numbers
        .chain(of_texts)
        .enumerate()
        .flat_map(|(which, forms)| {
            let finders = forms.into_iter();
            finders.map(move |(form, bytes)| (which, form, Finder::new(&bytes).into_owned()))
        })
        .collect();
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
                continue;
            }
            if !entry.file_type()?.is_file() {
                continue;
            }
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // A running member replaces and purges files.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for (which, form, finder) in &sought {
                if let Some(offset) = finder.find(&bytes) {
                    found.push(Clear {
                        path: path.clone(),
                        offset,
                        which: *which,
                        form,
                    });
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let number: PhoneNumber = "+8613800138000".parse().unwrap();
        let other: PhoneNumber = "+8613800138001".parse().unwrap();
        fs::create_dir(dir.path().join("deep")).unwrap();
        for (form, bytes) in forms(number) {
            fs::write(
                dir.path().join("deep").join(form),
                [b"x", &bytes[..]].concat(),
            )
            .unwrap();
        }
        fs::write(dir.path().join("name"), "Zhang San").unwrap();
        let mut found = in_clear(dir.path(), &[other, number], &["Zhang"]).unwrap();
        found.sort_by_key(|clear| (clear.which, clear.form));
        let shown: Vec<_> = found.iter().map(|c| (c.which, c.form, c.offset)).collect();
        assert_eq!(
            shown,
            [
                (1, "big-endian", 1),
                (1, "digits", 1),
                (1, "little-endian", 1),
                (1, "varint", 1),
                (2, "text", 0)
            ]
        );
    }
}
