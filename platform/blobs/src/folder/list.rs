//! The keys in a folder, in order, from any of them on.

use std::fs;
use std::io;
use std::path::Path;

use super::info;
use crate::{Key, Listed};

/// At most `limit` blobs beneath `prefix/`, or of all, whose keys come after `after`. A page costs
/// as much as the folders it touches have entries.
pub(super) fn list(
    root: &Path,
    prefix: Option<&Key>,
    after: Option<&Key>,
    limit: usize,
) -> io::Result<Vec<Listed>> {
    let (mut at, mut name) = (root.to_owned(), String::new());
    for part in prefix.into_iter().flat_map(Key::parts) {
        at.push(format!("{part}+"));
        name = format!("{name}{part}/");
    }
    let mut page = Page { after: after.map_or("", Key::as_str), limit, found: Vec::new() };
    page.walk(&at, &name)?;
    Ok(page.found)
}

struct Page<'a> {
    after: &'a str,
    limit: usize,
    found: Vec<Listed>,
}

impl Page<'_> {
    /// Walks the folder `at`, whose blobs' keys begin with `name`.
    fn walk(&mut self, at: &Path, name: &str) -> io::Result<()> {
        let entries = match fs::read_dir(at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let Ok(entry) = entry?.file_name().into_string() else { continue };
            // As it stands in keys, so that keys come in the order of their bytes.
            let full = match entry.strip_suffix('+') {
                Some(folder) => format!("{name}{folder}/"),
                None => format!("{name}{entry}"),
            };
            let may_have_later = full.ends_with('/') && self.after.starts_with(&full);
            if full.as_str() > self.after || may_have_later {
                names.push((full, entry));
            }
        }
        names.sort_unstable();
        for (full, entry) in names {
            if self.found.len() >= self.limit {
                break;
            }
            let path = at.join(entry);
            if full.ends_with('/') {
                self.walk(&path, &full)?;
            } else if let Ok(key) = Key::new(full) {
                match fs::metadata(path) {
                    Ok(meta) => self.found.push(Listed { key, info: info(&meta)? }),
                    // Deleted meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
