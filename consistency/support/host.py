"""What a program ran on: hardware, versions, and the commit of the working directory."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from consistency.support.version import version_of

_PACKAGES = ("lm-eval-consistency", "axolotl", "torch", "transformers", "lm_eval")


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU of this host, as ``nvidia-smi`` lists it.

    Attributes
    ----------
    index, uuid : str
        Either may stand in ``CUDA_VISIBLE_DEVICES``.
    name : str
    memory : int or None
        Its memory in bytes; None where it is not told, as of GPUs that share that of the host.
    """

    index: str
    uuid: str
    name: str
    memory: int | None


def list_gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this host; empty where there are none.

    Examples
    --------
    >>> all(isinstance(gpu.name, str) for gpu in list_gpus())
    True
    """
    found = []
    for line in _lines("nvidia-smi", "--query-gpu=index,uuid,memory.total,name", "--format=csv,noheader,nounits"):
        index, uuid, mebibytes, name = [*line.split(", ", 3), "", "", ""][:4]
        if name:  # else a sentence, such as that there are none
            found.append(Gpu(index, uuid, name, int(mebibytes) << 20 if mebibytes.isdecimal() else None))
    return found


def host_memory() -> int | None:
    """The memory of this host in bytes, without swap; None where the system does not tell it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on every system
        return None


def describe_host(devices: int = 0) -> dict[str, object]:
    """What is known of this host, for a manifest.

    Parameters
    ----------
    devices : int
        How many of the GPUs that ``CUDA_VISIBLE_DEVICES`` shows are used; 0: all of them. Where it shows none the hardware is
        the processor.

    Returns
    -------
    dict
        `hardware`; `git_commit` of the working directory, with "-dirty" behind it where files are changed, or None outside
        of a repository; `python`; and `packages`, the versions of those that are installed.
    """
    commit = _lines("git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [gpu.name for gpu in list_gpus()]
    if shown is not None:
        gpus = gpus[: len(list(filter(None, shown.split(","))))]
    return {
        "hardware": counted(gpus[: devices or None]) or processor(),
        "git_commit": commit[0] if commit else None,
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := version_of(name))},
    }


def counted(names: list[str]) -> str:
    """Names with how often each occurs.

    Examples
    --------
    >>> counted(["T4", "T4", "H100"])
    '2 × T4, H100'
    """
    return ", ".join(f"{count} × {name}" if count > 1 else name for name, count in Counter(names).items())


def processor() -> str:
    """The processor's name, and how many cores this host has."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text(errors="replace").splitlines() if info.is_file() else ())
        if line.startswith("model name")
    ]
    return counted(names) or platform.processor() or platform.machine()


def _lines(*command: str) -> list[str]:
    """What a program prints, by line; nothing where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
