"""Chat templates: those that ship, a model's own, and files of a user."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from consistency.errors import InputError, not_one_of, one_line
from consistency.support.resources import shipped

# The value of `template` with which every model keeps the template of its own tokenizer.
OWN = "model"
_ENDING = ".jinja"


def template_names() -> list[str]:
    """Names of the templates that ship with the training configs.

    Examples
    --------
    >>> template_names()
    ['chatml', 'vicuna']
    """
    return sorted(path.stem for path in _folder().glob(f"*{_ENDING}"))


def read_template(name: str) -> str | None:
    """The text of a chat template.

    Parameters
    ----------
    name : str
        One that ships, a file that ends in ``.jinja``, or "model" for the template of a model's own tokenizer.

    Returns
    -------
    str or None
        None for "model".

    Raises
    ------
    InputError
        If there is no such template, or the file cannot be read or is no Jinja template.

    Examples
    --------
    >>> read_template("vicuna").count("ASSISTANT: "), read_template("model")
    (2, None)
    """
    if name == OWN:
        return None
    if name in template_names():
        return (_folder() / f"{name}{_ENDING}").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix != _ENDING:
        raise not_one_of("template", name, [*template_names(), OWN, "a file that ends in .jinja"])
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"cannot be read: {reason}", expected="a chat template in Jinja", path=path) from None
    if not text.strip():
        raise InputError("is empty", expected="a chat template in Jinja", path=path)
    # Read by few, and slow to import for a module that every comparison loads.
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        # transformers knows one more tag, which marks what a model says.
        plain = re.sub(r"{%-?\s*(?:end)?generation\s*-?%}", "", text)
        ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).parse(plain)
    except TemplateSyntaxError as error:
        raise InputError(
            f"is no Jinja template: {error.message}", expected="a chat template", path=path, line=error.lineno
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets in each other
        raise InputError(f"is no Jinja template: {one_line(error)}", expected="a chat template", path=path) from None
    return text


def template_title(text: str) -> str:
    """The name of a template that ships; of another the first digits of its SHA-256.

    Examples
    --------
    >>> template_title(read_template("chatml")), template_title("{{ messages }}")
    ('chatml', 'sha256:f24189f0')
    """
    for name in template_names():
        # Programs that save a template may change the space around it.
        if (read_template(name) or "").strip() == text.strip():
            return name
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _folder() -> Path:
    return shipped("axolotl_configs") / "chat_templates"
