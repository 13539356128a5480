"""Files that ship beside the Python code: tasks, training configs, the Snakefile and its experiments."""

from pathlib import Path

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
    FileNotFoundError
        If the installation is incomplete.

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
    raise FileNotFoundError(
        f"{name} is neither at {candidates[0]} nor at {candidates[1]}: the installation is incomplete, "
        "install lm-eval-consistency again"
    )
