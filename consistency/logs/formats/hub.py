"""Data sets of the Hugging Face Hub that hold logs, fetched only where a path names one: `hub:ORG/NAME@REVISION:FOLDER`."""

from __future__ import annotations

import re
from pathlib import Path

from consistency.errors import InputError, how_to_install, one_line
from consistency.logs.packed import MOST

_NAMED = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:\s]+))?(?::(?P<folder>[^:]+))?")
_ENDINGS = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".jsonl.zst", ".parquet", ".eval")


def is_remote(path: str | Path) -> bool:
    """Whether a path names a data set of the Hub.

    Examples
    --------
    >>> is_remote("hub:org/name@main"), is_remote("hub/org")
    (True, False)
    """
    return str(path).startswith("hub:")


def fetch(named: str | Path) -> tuple[Path, str]:
    """Fetch the logs in a data set of the Hub, or find them in the cache of huggingface_hub.

    Parameters
    ----------
    named : path-like
        `hub:ORG/NAME`, with `@REVISION` a branch, tag or commit (without one: what is newest now), and with `:FOLDER` only what
        is in that folder or file.

    Returns
    -------
    Path
        Where they are on this machine.
    str
        The same name with the commit that was fetched.

    Raises
    ------
    InputError
        If huggingface_hub is not installed, there is no such data set, it holds no log, its logs are too large, or it is not in
        the cache and there is no network.
    """
    text = str(named)
    found = _NAMED.fullmatch(text)
    if found is None or ".." in Path(found["folder"] or "").parts:
        raise InputError(
            f"{text!r} is no name of a data set", expected="hub:ORG/NAME@REVISION, and :FOLDER behind it for a part"
        )
    try:
        from huggingface_hub import HfApi, constants, snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
        )
    except ImportError:
        raise InputError(
            f"{text} needs huggingface_hub",
            do=f"{how_to_install('hub')}; or download it and name the folder",
        ) from None
    name, revision, folder = found["name"], found["revision"] or "main", (found["folder"] or "").strip("/")
    patterns = [f"*{ending}" for ending in _ENDINGS]
    if folder:
        patterns = [folder] if folder.endswith(_ENDINGS) else [f"{folder}/{pattern}" for pattern in patterns]
    try:
        if not constants.HF_HUB_OFFLINE:
            # The commit is what the name means now; what is fetched is that, whatever is pushed meanwhile.
            about = HfApi().dataset_info(name, revision=revision, files_metadata=True)
            held = [
                item
                for item in about.siblings or ()
                if item.rfilename.endswith(_ENDINGS) and f"{item.rfilename}/".startswith(f"{folder}/" if folder else "")
            ]
            size = sum(item.size or 0 for item in held)
            if not held:
                raise InputError(f"{text} holds no log", expected=", ".join(_ENDINGS), do="name another folder of it")
            if size > MOST:
                raise InputError(
                    f"the logs in {text} are {size >> 30} GiB",
                    do=f"name a folder of at most {MOST >> 30} GiB behind it: {text}:FOLDER",
                )
            revision = about.sha or revision
        local = Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except InputError:
        raise
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise InputError(
            f"{text} is not in the cache of huggingface_hub, and there is no network",
            do="unset HF_HUB_OFFLINE, or download it elsewhere and name the folder",
        ) from None
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise InputError(
            f"{text} cannot be fetched: {one_line(error)}",
            do="check the name, the revision and your token (hf auth login)",
        ) from None
    # The folder of a snapshot is named after its commit.
    shown = f"hub:{name}@{local.name}" + (f":{folder}" if folder else "")
    target = local / folder if folder else local
    if not target.exists():
        raise InputError(f"{text} holds no {folder}", do="name another folder of it")
    return target, shown
