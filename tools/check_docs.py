#!/usr/bin/env python3
"""Check that the documents keep their word: `check_docs.py [ALGOTRADING_BINARY]`.

- every relative link and image in a Markdown file leads to a file of the repository, and every `#anchor` to a heading;
- every `algotrading ...` line in a shell block names a verb and options that the command's own help names.
"""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^\s*```(\w*)[^\n]*\n(.*?)^\s*```", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"^\s*(?:\$ )?(?:[\w./-]*/)?(?:algotrading|cargo run --release --)\s+(.*)$")


def documents() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


@cache
def anchors(path: Path) -> set[str]:
    prose = FENCE.sub("", path.read_text())
    names = set(re.findall(r'<a (?:id|name)="([^"]+)"', prose))
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", prose, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        names.add(words.replace(" ", "-"))
    return names


def broken_links(path: Path) -> list[str]:
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", path.read_text()))
    wrong = []
    for link in LINK.findall(prose):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, anchor = link.partition("#")
        to = (path.parent / name).resolve() if name else path
        if not to.exists():
            wrong.append(f"link to `{link}`: no such file")
        elif anchor and to.suffix == ".md" and anchor not in anchors(to):
            wrong.append(f"link to `{link}`: no such heading")
    return wrong


def calls(path: Path) -> list[str]:
    found = []
    for language, body in FENCE.findall(path.read_text()):
        if language not in ("", "sh", "bash", "console", "shell"):
            continue
        for line in body.replace("\\\n", " ").splitlines():
            if call := CALL.match(line):
                # A comment, or a result column two spaces on, is not part of the call.
                found.append(re.split(r"\s{2,}|\s#", call.group(1))[0])
    return found


@cache
def help_of(binary: str, verbs: tuple[str, ...]) -> str | None:
    done = subprocess.run([binary, *verbs, "--help"], capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode == 0 else None


def unknown_in(binary: str, call: str) -> str | None:
    try:
        words = shlex.split(call)
    except ValueError:
        return None  # a synopsis or a fragment, not a command
    verbs: tuple[str, ...] = ()
    for word in words[:2]:
        if not re.fullmatch(r"[a-z][a-z-]*", word) or help_of(binary, (*verbs, word)) is None:
            break
        verbs += (word,)
    if not verbs:
        return None if words and words[0].startswith("-") else f"`{call}`: no such verb"
    for word in words:
        option = word.strip("[]").split("=")[0]
        if re.fullmatch(r"--[a-z][a-z-]*", option):
            if not re.search(rf"{option}(?![\w-])", help_of(binary, verbs) or ""):
                return f"`{call}`: `{' '.join(verbs)}` has no {option}"
    return None


def main() -> None:
    binary = sys.argv[1] if len(sys.argv) > 1 else None
    wrong, checked, called = [], documents(), 0
    for path in checked:
        name = path.relative_to(ROOT)
        wrong += [f"{name}: {problem}" for problem in broken_links(path)]
        if binary:
            for call in calls(path):
                called += 1
                if problem := unknown_in(binary, call):
                    wrong.append(f"{name}: {problem}")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"documents: {len(checked)} read, {called} commands tried, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
