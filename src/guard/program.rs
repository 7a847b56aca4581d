//! The binary that runs: workers are started from it, and an upgrade looks for a new one in its place.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The binary that runs.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// Which file it was when this process began.
    file: Option<(u64, u64)>,
}

impl Program {
    /// That of this process.
    pub(super) fn own() -> Self {
        let path = std::env::current_exe().unwrap_or_else(|_| "haechi".into());
        // So the kernel calls one whose file was replaced meanwhile.
        match path.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
            Some(replaced) => Self { path: replaced.into(), file: None },
            None => Self { file: file(&path), path },
        }
    }

    /// Where it lies, or a newer one.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What to start so that the very same binary runs, whatever lies at its path by now. The path is
    /// preferred as long as it leads there: tools that run a program in their own way know it.
    pub(super) fn same(&self) -> &Path {
        let unchanged = self.file.is_some() && file(&self.path) == self.file;
        if unchanged { &self.path } else { Path::new("/proc/self/exe") }
    }
}

fn file(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_was_replaced_is_still_the_one_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let (path, beside) = (folder.path().join("haechi"), folder.path().join("new"));
        fs::write(&path, "old").unwrap();
        let program = Program { file: file(&path), path };
        assert_eq!(program.same(), program.path());
        fs::write(&beside, "new").unwrap();
        fs::rename(&beside, program.path()).unwrap();
        assert_eq!(program.same(), Path::new("/proc/self/exe"));
    }

    #[test]
    fn this_process_has_one() {
        let own = Program::own();
        assert!(own.path().is_file() && own.same() == own.path(), "{own:?}");
    }
}
