//! The product with a fault: a patch of `tests/sabotage` applied to a copy of the sources. No switch of the product itself weakens a promise.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::Error;
use crate::process::{cargo, profile_folder, repository, run, target_folder};

/// Builds the product with `tests/sabotage/<patch>` and returns its binary. What was built for the tests is taken over, so that only
/// what the patch reaches is built anew.
///
/// # Errors
/// The patch does not apply any more, the sources do not build with it, or there is no git to list them.
pub fn build(patch: &str) -> Result<PathBuf, Error> {
    // One after the other: the copy is everybody's.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let target = target_folder()?;
    let folder = target.join("sabotage");
    let (sources, built) = (folder.join("source"), folder.join("target"));
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|source| Error::file(&folder, &source))?;
    }
    copy_sources(&sources)?;
    apply(&sources, &repository().join("tests/sabotage").join(patch))?;
    let profile = profile_folder()?;
    let is_release = profile.file_name().is_some_and(|name| name == "release");
    let output = built.join(if is_release { "release" } else { "debug" });
    take_over(&profile, &output)?;

    let mut build = cargo();
    // The selection of the tests' own build: with another one the features of the libraries would differ, and all would be built again.
    build.args(["build", "--offline", "--workspace", "--bin", "sotto", "--target-dir"]).arg(&built).current_dir(&sources);
    if is_release {
        build.arg("--release");
    }
    succeed(&mut build, "the sabotaged sources do not build")?;
    let binary = output.join("sotto");
    // Only the binary is needed, and the rest is large.
    let kept = folder.join("sotto");
    fs::rename(&binary, &kept).map_err(|source| Error::file(&binary, &source))?;
    drop(fs::remove_dir_all(&built));
    Ok(kept)
}

/// Copies what git knows or would know, with the times of the files: cargo goes by them.
fn copy_sources(to: &Path) -> Result<(), Error> {
    let root = repository();
    let output = run(Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&root))?;
    if !output.status.success() {
        return Err(Error::new(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr))));
    }
    for name in output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let name = std::str::from_utf8(name).map_err(|_| Error::new("a file's name is not UTF-8"))?;
        let from = root.join(name);
        if from.is_file() {
            copy(&from, &to.join(name))?;
        }
    }
    Ok(())
}

fn apply(sources: &Path, patch: &Path) -> Result<(), Error> {
    let mut command = Command::new("patch");
    command.args(["--strip=1", "--forward", "--batch", "--fuzz=0", "--input"]).arg(patch).current_dir(sources);
    succeed(&mut command, &format!("{} does not apply any more", patch.display()))
}

/// Takes over a finished build. Libraries are linked, not copied: the compiler replaces files, it never writes into them. What cargo
/// itself writes into is copied, and so is all that is ours.
fn take_over(from: &Path, to: &Path) -> Result<(), Error> {
    for folder in [".fingerprint", "build"] {
        copy_folder(&from.join(folder), &to.join(folder))?;
    }
    let libraries = to.join("deps");
    fs::create_dir_all(&libraries).map_err(|source| Error::file(&libraries, &source))?;
    for path in entries(&from.join("deps"))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = path.extension().unwrap_or_default();
        let copied = libraries.join(&name);
        if name.contains("sotto") && ["rlib", "rmeta", "d"].iter().any(|wanted| kind == *wanted) {
            copy(&path, &copied)?;
        } else if ["rlib", "rmeta", "so"].iter().any(|wanted| kind == *wanted) {
            fs::hard_link(&path, &copied).map_err(|source| Error::file(&copied, &source))?;
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    for path in entries(from)? {
        let copied = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &copied)?;
        } else {
            copy(&path, &copied)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |source: std::io::Error| Error::new(format!("{} to {}: {source}", from.display(), to.display()));
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::copy(from, to).map_err(failed)?;
    let modified = fs::metadata(from).and_then(|data| data.modified()).map_err(failed)?;
    File::options().append(true).open(to).and_then(|file| file.set_times(FileTimes::new().set_modified(modified))).map_err(failed)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::file(folder, &source);
    fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

fn succeed(command: &mut Command, what: &str) -> Result<(), Error> {
    let output = run(command)?;
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !output.status.success() {
        return Err(Error::new(format!("{what}:\n{out}{err}")));
    }
    // What was built anew, for whoever wonders why it takes long.
    err.lines().filter(|line| line.contains("Compiling")).for_each(|line| eprintln!("{}", line.trim()));
    Ok(())
}
