"""Files that ship beside the Python code: tasks, training configs, the Snakefile and its experiments."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def tasks_dir() -> Path:
    """Return the folder for ``lm_eval --include_path``.

    Returns
    -------
    pathlib.Path
        Absolute path of ``lm_eval_tasks``.

    Raises
    ------
    FileNotFoundError
        If the installation is incomplete.

    Examples
    --------
    >>> tasks_dir().name
    'lm_eval_tasks'
    """
    return _locate("lm_eval_tasks")


def task_names() -> list[str]:
    """Return the names of all tasks and groups, for ``lm_eval --tasks``.

    Returns
    -------
    list of str
        In alphabetical order; each is the name of its YAML file.

    Raises
    ------
    FileNotFoundError
        If the installation is incomplete.

    Examples
    --------
    >>> "consistency_medicine_icl" in task_names()
    True
    """
    return sorted(path.stem for path in tasks_dir().rglob("*.yaml"))


def axolotl_dir() -> Path:
    """Return the folder of the training configs, one YAML per intervention group.

    Returns
    -------
    pathlib.Path
        Absolute path of ``axolotl_configs``.

    Raises
    ------
    FileNotFoundError
        If the installation is incomplete.

    Examples
    --------
    >>> (axolotl_dir() / "harmonious.yml").is_file()
    True
    """
    return _locate("axolotl_configs")


def snakefile() -> Path:
    """Return the Snakefile that runs an experiment.

    Returns
    -------
    pathlib.Path
        Absolute path of ``scripts/Snakefile``.

    Raises
    ------
    FileNotFoundError
        If the installation is incomplete.

    Examples
    --------
    >>> snakefile().name
    'Snakefile'
    """
    return _locate("scripts/Snakefile")


def experiments_dir() -> Path:
    """Return the folder of the experiments that ship with the project.

    Returns
    -------
    pathlib.Path
        Absolute path of ``scripts/experiments``.

    Raises
    ------
    FileNotFoundError
        If the installation is incomplete.

    Examples
    --------
    >>> experiments_dir().name
    'experiments'
    """
    return _locate("scripts/experiments")


def citation_file() -> Path:
    """Return the file that says how to cite this project and the paper, in the Citation File Format.

    Returns
    -------
    pathlib.Path
        Absolute path of ``CITATION.cff``.

    Raises
    ------
    FileNotFoundError
        If the installation is incomplete.

    Examples
    --------
    >>> citation_file().name
    'CITATION.cff'
    """
    return _locate("CITATION.cff")


def _locate(name: str) -> Path:
    # A wheel carries the files inside the package; a checkout, editable install included, has them next to it.
    candidates = (_PACKAGE / "_share" / name, _PACKAGE.parent / name)
    for path in candidates:
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{name} is neither at {candidates[0]} nor at {candidates[1]}: the installation is incomplete, "
        "install lm-eval-consistency again"
    )
