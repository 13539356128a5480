"""The fenced blocks of the documents, as test_docs.py says what is in them."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
FENCE = re.compile(
    r"^(?P<comments>(?:<!--[^\n]*-->\n)*)```(?P<kind>[a-z]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
SKIP = re.compile(r"<!-- not run: (?:`(?P<command>[^`]+)`: )?(?P<reason>\S.*) -->")


@dataclass
class Block:
    """A fenced block: its commands, each with the output that is shown below it."""

    kind: str
    text: str
    comments: str
    commands: list[tuple[str, list[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        lines = iter(self.text.splitlines() if self.kind == "console" else ())
        for line in lines:
            if not line.startswith("$ "):
                assert self.commands, f"output before any command: {line}"
                self.commands[-1][1].append(line)
                continue
            command = line[2:]
            while command.endswith("\\"):
                command += "\n" + next(lines)
            self.commands.append((command, []))

    @property
    def exit_code(self) -> int:
        found = re.search(r"<!-- exit code (\d+) -->", self.comments)
        return int(found[1]) if found else 0

    def runs(self, command: str) -> bool:
        skips = SKIP.findall(self.comments)
        return not any(not start or command.startswith(start) for start, _ in skips)


def blocks(document: Path) -> list[Block]:
    return [
        Block(found["kind"], found["text"], found["comments"])
        for found in FENCE.finditer(document.read_text(encoding="utf-8"))
    ]
