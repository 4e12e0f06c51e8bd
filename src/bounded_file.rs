//! Reads foreign files into memory up to a limit: a link to a device or a file of gigabytes is an error and does not
//! exhaust memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Limit for requirements files, TOML files and lock files. Real ones have a few megabytes at most.
pub const TEXT_LIMIT_BYTES: u64 = 32 << 20;

/// The content of a file of at most `limit_bytes`.
///
/// # Errors
/// Those of the file system, and [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    #[cfg(test)]
    counted::READS.with_borrow_mut(|reads| *reads.entry(path.to_path_buf()).or_default() += 1);
    refuse_pipe(path)?;
    File::open(path)?.take(limit_bytes.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > limit_bytes {
        let limit = match limit_bytes {
            bytes if bytes < 1 << 20 => format!("{bytes} bytes"),
            bytes => format!("{} MB", bytes >> 20),
        };
        let problem = format!("it has more than {limit}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(content)
}

/// A named pipe that lies among the files would block whoever opens it. Those of the shell (`<(command)`) are in `/dev`.
fn refuse_pipe(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&path.metadata()?.file_type())
        && !["/dev", "/proc"].iter().any(|place| path.starts_with(place))
    {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a named pipe and not a file"));
    }
    Ok(())
}

/// The same as text.
///
/// # Errors
/// As for [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path, limit_bytes: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit_bytes)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// How often each file is read, for tests that hold the cost of a run.
#[cfg(test)]
pub mod counted {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    thread_local! {
        pub(super) static READS: RefCell<BTreeMap<PathBuf, usize>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// The reads of this thread so far.
    pub fn take() -> BTreeMap<PathBuf, usize> {
        READS.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_above_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        let error = read(&path, 4).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::FileTooLarge, "it has more than 4 bytes")
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_named_pipe_among_the_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            rustix::fs::makedev(0, 0),
        )
        .unwrap();
        assert_eq!(read(&path, 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_endless_file_is_refused() {
        let error = read(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
