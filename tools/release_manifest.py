"""Write what a release holds into FOLDER/manifest.json: python release_manifest.py FOLDER IMAGE"""

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path


def manifest(folder: Path, image: str) -> dict:
    """Version, image and zips with their hashes; the same folder gives the same text."""
    if not re.fullmatch(r"[^@\s]+@sha256:[0-9a-f]{64}", image):
        sys.exit(f"error: the image must be named by its digest, repository@sha256:...; it is `{image}`")
    zips = sorted(folder.glob("*.zip"))
    if not zips:
        sys.exit(f"error: {folder} holds no zips; tools/release-functions makes them")
    cargo = tomllib.loads((Path(__file__).resolve().parents[1] / "Cargo.toml").read_text())
    return {
        "version": cargo["workspace"]["package"]["version"],
        "image": image,
        "functions": {
            one.stem: {"file": one.name, "sha256": hashlib.sha256(one.read_bytes()).hexdigest()} for one in zips
        },
    }


if __name__ == "__main__":
    folder, image = Path(sys.argv[1]), sys.argv[2]
    (folder / "manifest.json").write_text(json.dumps(manifest(folder, image), indent=1) + "\n")
