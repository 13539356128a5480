"""The one error that a user can cause and repair."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# Characters of each part of a message: all the names of many tasks, but no value of megabytes.
_MOST = 2000


class InputError(ValueError):
    """Input that cannot be used, with its place, what was expected and what to do.

    Parameters
    ----------
    problem : str
        What is wrong, without a full stop.
    expected : str, optional
        What should have been there.
    do : str, optional
        What the user can do about it.
    path : path-like, optional
        The file or folder at fault.
    line : int, optional
        Its line, counted from 1.

    Examples
    --------
    >>> print(InputError("no doc_id", expected="an integer", do="log the run again", path="s.jsonl", line=3))
    s.jsonl:3: no doc_id; expected an integer; log the run again
    """

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        do: str | None = None,
        path: str | Path | None = None,
        line: int | None = None,
    ) -> None:
        self.problem = problem
        self.expected = expected
        self.do = do
        self.path = None if path is None else Path(path)
        self.line = line
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        parts = [problem, f"expected {expected}" if expected else "", do or ""]
        super().__init__(place + "; ".join(_shortened(part) for part in parts if part))


def _shortened(text: str) -> str:
    """A part of a message that may hold a value of any length."""
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]} … {text[-_MOST // 2 :]}"


def not_one_of(what: str, value: object, allowed: Iterable[str], *, path: str | Path | None = None) -> InputError:
    """The error of a name that is not one of the known ones.

    Parameters
    ----------
    what : str
        What the name is of.
    value : object
        As it was given.
    allowed : iterable of str
        The known names.
    path : path-like, optional
        The file that has it.

    Examples
    --------
    >>> print(not_one_of("domain", "law", ["medicine", "history"]))
    no domain 'law'; expected one of medicine, history
    """
    return InputError(f"no {what} {value!r}", expected=f"one of {', '.join(allowed)}", path=path)


# Packages that are not in the core, by the extra that installs them.
EXTRAS = {
    **dict.fromkeys(("lm_eval", "torch", "transformers", "datasets", "tokenizers", "safetensors"), "eval"),
    **dict.fromkeys(("accelerate", "evaluate", "peft"), "eval"),
    "axolotl": "train",
    "snakemake": "grid",
    "huggingface_hub": "hub",
    **{name: name for name in ("mlflow", "trackio", "wandb")},
}


def how_to_install(extra: str) -> str:
    """How to install an extra, from a release and in a checkout.

    Examples
    --------
    >>> print(how_to_install("hub"))
    install the extra hub: pip install 'lm-eval-consistency[hub]', or '.[hub]' in a checkout
    """
    return f"install the extra {extra}: pip install 'lm-eval-consistency[{extra}]', or '.[{extra}]' in a checkout"


def not_installed(module: str) -> InputError | None:
    """The error of a package that is missing and that an extra installs; None of any other.

    Parameters
    ----------
    module : str
        Its dotted name, or that of a module in it.

    Examples
    --------
    >>> print(not_installed("wandb.sdk"))
    wandb is not installed; install the extra wandb: pip install 'lm-eval-consistency[wandb]', or '.[wandb]' in a checkout
    >>> not_installed("antigravity")
    """
    name = module.partition(".")[0]
    extra = EXTRAS.get(name)
    return None if extra is None else InputError(f"{name} is not installed", do=how_to_install(extra))


def one_line(error: BaseException, most: int = 200) -> str:
    r"""What an error of another library says, in one line, or its type where it says nothing.

    Parameters
    ----------
    error : exception
    most : int
        The most characters.

    Examples
    --------
    >>> one_line(ValueError("bad\n  header"))
    'bad header'
    """
    text = " ".join(str(error).split())
    return (text if len(text) <= most else f"{text[:most]}…") or type(error).__name__
