"""A failed job is one line on the terminal, and whole in Snakemake's log: with Snakemake's own handlers and a job that fails."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from consistency.support.resources import shipped

pytest.importorskip("snakemake")

SNAKEFILE = """
import sys
from snakemake.logging import logger_manager
onstart:
    sys.path.insert(0, {scripts!r})
    import terminal
    terminal.shorten(logger_manager.queue_listener.handlers)
rule all:
    output: "made"
    log: "made.log"
    shell: "echo a line of the command; exit 3 > {{log}}"
"""


@pytest.mark.parametrize("retries", [0, 1])
def test_a_failed_job(tmp_path: Path, retries: int) -> None:
    scripts = str(shipped("scripts/Snakefile").parent)
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(scripts=scripts))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--retries", str(retries)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if line.startswith("Job 0 failed")]
    assert failed == ["Job 0 failed: all of made; log: made.log"]
    assert "a line of the command" not in done.stderr
    (log,) = (tmp_path / ".snakemake/log").iterdir()
    assert len(re.findall("Error in rule all:", log.read_text())) >= 1 + retries
    assert "a line of the command" in log.read_text()
