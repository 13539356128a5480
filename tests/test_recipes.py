"""Commands that no test runs to the end go as far as they can here: the programs' own parsers, and the models of lm_eval.

Of the four-bit recipe the Python is run; of each model of lm_eval that a recipe names one is made from a small folder.
"""

import ast
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from consistency.world.model import BASE_MODEL

sys.path.insert(0, str(Path(__file__).parent))
from documents import ROOT, Block, blocks

DOCUMENTS = [
    path
    for folder in ("", "docs", "axolotl_configs", "lm_eval_tasks", "scripts", "tests")
    for path in sorted((ROOT / folder).glob("**/*.md" if folder else "README.md"))
]
# Those of which test_docs.py runs what does not say otherwise.
DOCUMENTS_RUN = [path for path in DOCUMENTS if path.parent == ROOT / "docs" or path == ROOT / "README.md"]
# Programs of the shell and of the system, whose flags are not this project's.
OTHERS = {
    "docker",
    "pytest",
    "echo",
    "ls",
    "cd",
    "export",
    "apt-get",
    "git",
    "cat",
    "mkdir",
    "rm",
    "cp",
    "head",
    "tail",
}
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")


def unrun(document: Path) -> list[str]:
    """The commands that test_docs.py does not run: those that say so, and those of documents that it does not read."""
    found = [(block, command) for block in blocks(document) for command, _ in block.commands]
    return [command for block, command in found if document not in DOCUMENTS_RUN or not block.runs(command)]


def simple_commands(command: str) -> Iterator[list[str]]:
    """The words of each program of a command, without redirections, comments and settings of the environment."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    words: list[str] = []
    target = False
    for word in [*lexer, ";"]:
        if target:
            target = False
        elif set(word) <= set("<>"):
            target = True
        elif set(word) <= set("();|&"):
            if words:
                yield words
            words = []
        elif words or not ASSIGNMENT.fullmatch(word):
            words.append(word)


def click_parses(command: Any, name: str, words: list[str]) -> None:
    """Walk down a program of click as it would, without running what it finds."""
    context = command.make_context(name, list(words))
    while hasattr(command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        sub, command, rest = command.resolve_command(context, rest)
        context = command.make_context(sub, rest, parent=context)


def consistency(words: list[str]) -> None:
    import typer

    from consistency.cli.app import app

    if words[0] == "eval":
        from consistency.cli.evaluate import command_lines

        context = typer.main.get_command(app).commands["eval"].make_context("eval", words[1:])  # type: ignore[attr-defined]
        for line in command_lines(context.args, context.params["also"] or ()):
            lm_eval(["run", *line])
    else:
        click_parses(typer.main.get_command(app), "consistency", words)


def lm_eval(words: list[str]) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval._cli.harness import HarnessCLI
    from lm_eval.api.registry import get_model

    import consistency.shared_prefix.model  # noqa: F401  (registers the model)

    given = HarnessCLI()._parser.parse_args(words)
    try:
        get_model(given.model)
    except ModuleNotFoundError as error:
        # vLLM is known to lm_eval, and not installed here.
        if (given.model, error.name) not in {("vllm", "ray"), ("vllm", "vllm")}:
            raise


def axolotl(words: list[str]) -> None:
    pytest.importorskip("axolotl")
    from axolotl.cli.main import cli

    # The config and the flags; Axolotl drops a flag that it does not know.
    words = [str(ROOT / "axolotl_configs" / "harmonious.yml") if word.endswith(".yml") else word for word in words]
    command = cli.commands[words[0]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    command.make_context(words[0], words[1:])


def snakemake(words: list[str]) -> None:
    pytest.importorskip("snakemake")
    from snakemake.cli import get_argument_parser

    given = get_argument_parser().parse_args(words)
    assert (ROOT / given.snakefile).is_file()
    assert (ROOT / given.profile / "config.yaml").is_file()


def make(words: list[str]) -> None:
    subprocess.run(["make", "--dry-run", "-C", str(ROOT), *words], check=True, capture_output=True)


def pip(words: list[str]) -> None:
    from pip._internal.commands import create_command

    create_command(words[0]).parse_args(words[1:])


def python(words: list[str]) -> None:
    if words[0] == "-m":
        assert words[1] == "pytest"
        assert all((ROOT / word).exists() for word in words[2:] if not word.startswith("-"))
        return
    told = subprocess.run(
        [sys.executable, ROOT / words[0], "--help"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(re.search(rf"{word}\b", told) for word in words[1:] if word.startswith("-")), told


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    program.__name__: program for program in (consistency, lm_eval, axolotl, snakemake, make, pip, python)
}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_not_run_is_what_its_programs_take(document: Path, tmp_path: Path, monkeypatch: Any) -> None:
    commands = unrun(document)
    for name in ("scripts", "axolotl_configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    # What a reader has written by then.
    (tmp_path / "run.yaml").write_text("tasks: [arc_easy]\n")
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
        for program, *words in simple_commands(command):
            if program in OTHERS:
                continue
            assert program in PROGRAMS, command
            PROGRAMS[program](words)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=f"{document.relative_to(ROOT)}: {number}")
        for document in DOCUMENTS
        for number, block in enumerate(blocks(document), 1)
        if block.kind == "python" and (document not in DOCUMENTS_RUN or not block.runs(block.text))
    ],
)
def test_python_that_is_not_run_calls_what_there_is(block: Block) -> None:
    tree = ast.parse(block.text)
    there: dict[str, Any] = {}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), "recipe", "exec"), there)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    found = [node for node in calls if node.func.id in there]  # type: ignore[attr-defined]
    assert found
    for node in found:
        named = {word.arg: None for word in node.keywords if word.arg is not None}
        inspect.signature(there[node.func.id]).bind(*node.args, **named)  # type: ignore[attr-defined]


def test_a_wrong_flag_is_no_recipe() -> None:
    for program, words in (
        (consistency, "compare a b --outt c"),
        (consistency, "nothing"),
        (consistency, "eval --tasks mmlu --num_fewshots 3"),
        (lm_eval, "run --model hf --tasks mmlu --log_sample_s"),
        (lm_eval, "run --model nothing --tasks mmlu"),
        (snakemake, "--snakefile scripts/Snakefile --profil_ x"),
        (axolotl, "train a.yml --learning-rat 1e-5"),
        (make, "nothing"),
        (python, "scripts/real_model.py --nothing"),
    ):
        with pytest.raises((SystemExit, Exception)):
            program(words.split())


def models() -> list[Any]:
    """Each way in which a recipe makes a model of lm_eval, once, without vLLM's."""
    found: dict[tuple[str, str], Any] = {}
    for document in DOCUMENTS:
        for command in unrun(document):
            for program, *words in simple_commands(command):
                if program == "lm_eval" or (program == "consistency" and words[0] == "eval"):
                    given = dict(pairwise(words))
                    kind = given.get("--model", "hf-shared-prefix")
                    arguments = given.get("--model_args", "")
                    if arguments and kind != "vllm":
                        found[kind, arguments] = pytest.param(kind, arguments, id=f"{kind}: {arguments}")
    return list(found.values())


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the recipes call MODEL and ADAPTER, and with MODEL-4bit as the recipe makes it."""
    peft = pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("recipes")
    shutil.copytree(BASE_MODEL, folder / "MODEL")
    model = transformers.AutoModelForCausalLM.from_pretrained(BASE_MODEL)
    adapter = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    adapter.save_pretrained(folder / "ADAPTER")
    (recipe,) = (block.text for block in blocks(ROOT / "docs" / "cookbook.md") if "four_bits.py" in block.comments)
    subprocess.run([sys.executable, "-c", recipe], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(("kind", "arguments"), models())
def test_the_models_of_the_recipes_are_made_and_answer(
    kind: str, arguments: str, named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.api.registry import get_model

    import consistency.shared_prefix.model  # noqa: F401  (registers the model)

    monkeypatch.chdir(named)
    path = Path(dict(part.split("=", 1) for part in arguments.split(",")).get("pretrained", "MODEL"))
    if not path.exists():
        # A model of the demonstration, which is built like this one.
        assert path.parts[0] == "runs"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(named / "MODEL")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    model = get_model(kind).create_from_arg_string(arguments, {"device": "cpu", "batch_size": 1})
    if not kind.startswith("hf"):
        assert model.model == "MODEL"  # it would ask a server
        return
    request = Instance("loglikelihood", {}, ("What cures fever? Answer:", " A"), 0)
    ((value, _),) = model.loglikelihood([request], disable_tqdm=True)
    assert -30 < value < 0
    kinds = {type(module).__name__ for module in model.model.modules()}
    assert ("Linear4bit" in kinds) == ("4bit" in arguments)
    assert any("lora" in name for name, _ in model.model.named_parameters()) == ("peft" in arguments)


def test_the_extra_of_the_recipes_installs_what_lm_eval_s_apis_need() -> None:
    import tomllib
    from importlib.metadata import requires

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["api"] == ["lm_eval[api]>=0.4.11,<0.5"]
    needed = [line for line in requires("lm_eval") or () if 'extra == "api"' in line]
    assert any(line.startswith("tenacity") for line in needed)
