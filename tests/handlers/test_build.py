"""infra/buildspec.yml and fargate/Dockerfile. There is no Docker where the tests run: its commands are run with one that
writes down what it is asked, against a real repository."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).resolve().parents[2]
TAG = "repository.example/containers"
# What stands for docker and aws. A command whose text is in FAILS fails; what is in THERE was pushed before.
PRETENDED = """#!/usr/bin/env bash
said="${0##*/} $*"
[[ $said == "docker login"* ]] && said+=" <$(cat)"
echo "$said" >>"$LOG"
[[ $said == *ecr* ]] && echo a-password
[[ $said == *dest=zips* ]] && mkdir -p zips && touch zips/run-query.zip
[[ $said == "docker manifest inspect"* ]] && { [[ ${THERE-} ]]; exit; }
[[ -z ${FAILS-} || $said != *"$FAILS"* ]]
"""


class Build:
    """What a run of the buildspec's commands did."""

    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder / "log"
        self.spec = yaml.safe_load((TOP / "infra" / "buildspec.yml").read_text())
        origin = folder / "origin"
        subprocess.run(["git", "init", "--quiet", origin], check=True)
        (origin / "file").write_text("of the commit")
        for words in (["add", "."], ["commit", "--quiet", "-m", "one"], ["rm", "--quiet", "file"], ["commit", "--quiet", "-m", "two"]):
            subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", "-C", origin, *words], check=True)
        self.commit = subprocess.run(["git", "-C", origin, "rev-parse", "HEAD~1"], check=True, capture_output=True, text=True).stdout.strip()
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "LOG": str(self.log), "BUCKET": "artifacts",
            "PREFIX": f"build/{self.commit}", "IMAGE_REPOSITORY": TAG, "IMAGE_TAG": self.commit, "REPOSITORY": str(origin),
        }
        (folder / "bin").mkdir()
        for name in ("docker", "aws"):
            (folder / "bin" / name).write_text(PRETENDED)
            (folder / "bin" / name).chmod(0o755)

    def run(self, **changed) -> str:
        """Each command as CodeBuild runs them, up to the first that fails; which that was."""
        self.log.unlink(missing_ok=True)
        environment = {name: value for name, value in (self.environment | changed).items() if value is not None}
        for command in self.spec["phases"]["build"]["commands"]:
            done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=environment, capture_output=True, text=True)
            if done.returncode:
                return command
        return ""

    @property
    def said(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def build(tmp_path) -> Build:
    return Build(tmp_path)


def test_a_build_leaves_zips_and_then_an_image(build):
    assert build.run() == ""
    kinds = [" ".join(line.split()[:2]) for line in build.said]
    assert kinds == ["docker build", "docker build", "aws s3", "aws ecr", "docker login", "docker manifest", "docker push"]
    assert f"s3://artifacts/build/{build.commit}/" in build.said[2]
    assert build.said[4] == "docker login --username AWS --password-stdin repository.example <a-password"
    assert build.said[6].endswith(f"{TAG}:{build.commit}") and build.said[6].split()[-1] in build.said[1]
    assert (build.folder / "source" / "file").read_text() == "of the commit"
    assert not (build.folder / "password").exists()


@pytest.mark.parametrize("failing", ["--target functions", "--tag", "s3 cp", "get-login-password", "docker login", "docker push"])
def test_whatever_fails_ends_the_build_before_the_image_is_there(build, failing):
    # A command's text has its program's name, the command itself may come through another.
    assert failing in build.run(FAILS=failing)
    assert failing in build.said[-1]
    assert failing == "docker push" or not any(line.startswith("docker push") for line in build.said)


def test_a_commit_that_is_not_there_ends_the_build(build):
    assert "checkout" in build.run(IMAGE_TAG="0" * 40)
    assert build.said == []


@pytest.mark.parametrize("name", ["BUCKET", "PREFIX", "IMAGE_REPOSITORY", "IMAGE_TAG", "REPOSITORY"])
def test_a_variable_that_lacks_ends_the_build(build, name):
    assert name in build.run(**{name: None})
    assert build.said == []


def test_an_image_that_is_there_is_not_pushed_again(build):
    assert build.run(THERE="yes") == ""
    assert not any(line.startswith("docker push") for line in build.said)


def test_nothing_is_done_after_a_phase_that_failed(build):
    # CodeBuild runs post_build even then.
    assert list(build.spec["phases"]) == ["build"]


def test_the_image_is_built_of_what_is_here_and_runs_as_nobody():
    text = (TOP / "fargate" / "Dockerfile").read_text()
    ignored = [line.rstrip("/") for line in (TOP / ".dockerignore").read_text().splitlines()]
    lines = [line.split() for line in text.splitlines()]
    copied = [source for words in lines if words[:1] == ["COPY"] and not words[1].startswith("--from") for source in words[1:-1]]
    for source in copied:
        assert (TOP / source).exists() and source not in ignored, f"the Dockerfile copies `{source}`, which is not there"
    manifest = tomllib.loads((TOP / "Cargo.toml").read_text())["workspace"]
    for member in manifest["members"]:
        assert member.partition("/")[0] in copied, f"cargo would not find `{member}`: the Dockerfile copies no such folder"
    rust = manifest["package"]["rust-version"]
    bases = [" ".join(words[1:]) for words in lines if words[:1] == ["FROM"]]
    assert bases == [
        f"--platform=$BUILDPLATFORM public.ecr.aws/docker/library/rust:{rust}-trixie AS build", "scratch AS functions", "scratch",
    ]
    assert ["USER", "65532:65532"] in lines and ["VOLUME", '["/tmp"]'] in lines
    released = re.search(r"^containers=\((.*)\)$", (TOP / "tools" / "release-functions").read_text(), re.MULTILINE)[1].split()
    # What is built lies in the image, which the next test sees; what is to be built is said there.
    programs = sorted(folder.parent.name for folder in (TOP / "fargate").glob("*/Cargo.toml"))
    assert sorted(released) == programs, "tools/release-functions builds other containers than fargate/ has"


def test_the_layout_of_the_image_is_a_script_that_runs(tmp_path):
    """As the Dockerfile does it, with this machine's program and libraries."""
    script = (TOP / "fargate" / "Dockerfile").read_text().split("<<'LAYOUT'\n")[1].split("\nLAYOUT\n")[0]
    program = Path("/bin/ls")
    linked = re.findall(r"(/\S+) \(", subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout)
    (tmp_path / "libraries").mkdir()
    for library in map(Path, linked):
        (tmp_path / "libraries" / library.name).write_bytes(library.read_bytes())
    (tmp_path / "out").mkdir()
    programs = {"strategy-runner", "ingest-task", "broker-adapter"}
    for name in programs | {"run-query.zip"}:
        (tmp_path / "out" / name).write_bytes(program.read_bytes())
        (tmp_path / "out" / name).chmod(0o755)
    for before, after in (
        ("/usr/$(cat /processor)-linux-gnu/lib", tmp_path / "libraries"), ("/rootfs", tmp_path / "rootfs"), ("/out/", f"{tmp_path}/out/"),
        ("/etc/ssl/certs/ca-certificates.crt $root", f"{__file__} $root"),
    ):
        assert before in script
        script = script.replace(before, str(after))
    subprocess.run(["sh", "-c", script], check=True)
    root = tmp_path / "rootfs"
    assert {file.name for file in root.iterdir() if file.is_file()} == programs
    assert {file.name for file in (root / "lib").iterdir()} >= {Path(library).name for library in linked if "/ld-" not in library}
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    # What no library of the system's may stand in for.
    loader = next(library for library in linked if "/ld-" in library)
    assert (root / loader.lstrip("/")).exists()
    (tmp_path / "libraries" / "libc.so.6").unlink()
    subprocess.run(["rm", "-r", root], check=True)
    assert subprocess.run(["sh", "-c", script], capture_output=True).returncode != 0
