#!/usr/bin/env python3
"""Writes the licences of every crate that the program is linked with: name, version, licence, and the texts that the crate ships.

    licences.py PACKAGE TARGET > licences
"""

import json
import pathlib
import subprocess
import sys

NAMES = ("licen", "copying", "notice", "copyright", "unlicense")


def linked(package, target):
    """The crates of the package and of what it is linked with: no build scripts' and no tests' dependencies."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    data = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    packages = {one["id"]: one for one in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    waiting = [one for one in packages if packages[one]["name"] == package and packages[one]["source"] is None]
    found = set(waiting)
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_linked and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    others = [packages[one] for one in found if packages[one]["source"] is not None]
    return sorted(others, key=lambda one: (one["name"], one["version"]))


def texts(crate):
    folder = pathlib.Path(crate["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name.lower().startswith(NAMES))
    return [file.read_text(errors="replace").strip() for file in files]


def main():
    package, target = sys.argv[1:]
    whole = {}
    for crate in linked(package, target):
        print(f"{crate['name']} {crate['version']}: {crate['license'] or 'see its text'}")
        for text in texts(crate):
            whole.setdefault(text, []).append(f"{crate['name']} {crate['version']}")
    for text, crates in whole.items():
        print(f"\n{'=' * 78}\n{', '.join(crates)}\n{'=' * 78}\n\n{text}")


if __name__ == "__main__":
    main()
