"""Files that ship beside the Python code: tasks, training configs, the Snakefile and its experiments."""

from pathlib import Path

from consistency.errors import InputError

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(name: str) -> Path:
    """The path of a file or folder that ships with the project.

    Parameters
    ----------
    name : str
        Its place in a checkout: ``lm_eval_tasks``, ``axolotl_configs``, ``scripts/Snakefile``, ``CITATION.cff``, ...

    Returns
    -------
    pathlib.Path
        Absolute.

    Raises
    ------
    InputError
        If it is not installed: the smaller of a release's two wheels is without most of them.

    Examples
    --------
    >>> (shipped("axolotl_configs") / "harmonious.yml").is_file()
    True
    """
    # A wheel carries the files inside the package; a checkout, editable install included, has them next to it.
    candidates = (_PACKAGE / "_share" / name, _PACKAGE.parent / name)
    for path in candidates:
        if path.exists():
            return path
    raise not_installed(candidates[0])


def not_installed(path: Path) -> InputError:
    """The error of a file that ships with the project and is not there."""
    return InputError("is not installed", do="pip install 'lm-eval-consistency[share]'", path=path)
