//! The data folder: there, writable, private; and the secret that the processes of one machine
//! show each other.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const SECRET: &str = "mesh.secret";

/// Makes the folder if it is not there, and checks that it can be written.
///
/// # Errors
/// The folder's name and why it cannot be used.
pub fn prepare(folder: &Path) -> io::Result<()> {
    let told =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(told)?;
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let written = std::fs::write(&probe, b"");
    // Nothing to do if the probe is gone already.
    drop(std::fs::remove_file(&probe));
    written.map_err(told)
}

/// The secret of this folder, made by whoever comes first.
///
/// # Errors
/// If it can be neither read nor made.
pub fn secret(folder: &Path) -> io::Result<String> {
    let path = folder.join(SECRET);
    // Written aside and linked into place, so that nobody ever reads half of one.
    let aside = folder.join(format!(".{SECRET}-{}", std::process::id()));
    if !path.exists() {
        let random: [u8; 32] = rand::random();
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(hex::encode(random).as_bytes())?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&aside, &path);
        std::fs::remove_file(&aside)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let mut secret = String::new();
    std::fs::File::open(&path)?.read_to_string(&mut secret)?;
    match secret.trim() {
        "" => Err(io::Error::new(ErrorKind::InvalidData, format!("{} is empty", path.display()))),
        secret => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn whoever_comes_first_makes_the_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = secret(folder.path()).expect("made");
        assert_eq!(secret(folder.path()).expect("read"), first);
        assert_eq!(first.len(), 64);
        let mode = folder.path().join(SECRET).metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }

    #[test]
    fn a_file_in_the_folders_place_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("data");
        std::fs::write(&file, "").expect("written");
        assert!(prepare(&file).expect_err("a file").to_string().contains("data"));
    }
}
