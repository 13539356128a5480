"""Experiment files, good and bad, and where the artefacts of a grid are."""

from pathlib import Path

import pytest
import yaml

from consistency.errors import InputError
from consistency.experiment.reading import ON_A_GPU, read_experiment
from consistency.support.resources import shipped
from consistency.tasks.scopes import scope_tasks
from consistency.training_data.groups import mixed_ratio

GOOD = {
    "name": "two",
    "models": {"a": "embedded", "b": "org/model"},
    "domains": ["medicine", "history"],
    "groups": ["harmonious", "mixed_0.05"],
    "seeds": [0, 7],
}


def test_a_grid_is_every_combination_in_a_folder_of_its_own(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(GOOD | {"limit": 3}))
    experiment = read_experiment(path, tmp_path / "runs")
    assert (experiment.name, experiment.root) == ("two", tmp_path / "runs")
    assert (experiment.models, experiment.domains) == (("a", "b"), ("medicine", "history"))
    runs = list(experiment.runs())
    assert len(runs) == 2 * 2 * 2 * 2
    assert (runs[0].model, runs[0].domain, runs[0].group, runs[0].seed) == ("a", "medicine", "harmonious", 0)
    assert [run.seed for run in runs] == [0, 7] * 8
    last = runs[-1]
    assert last.logs == tmp_path / "runs/b/history/seed-7/logs/mixed_0.05"
    assert last.manifest == tmp_path / "runs/b/history/seed-7/groups/mixed_0.05.manifest.json"
    assert experiment.base_logs("a", "ift") == tmp_path / "runs/a/base/logs/ift"
    assert len({run.logs for run in runs}) == len({run.manifest for run in runs}) == 16


@pytest.mark.parametrize("path", sorted(shipped("scripts/experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_experiments_name_what_exists(path):
    experiment = read_experiment(path, "runs")
    assert experiment.name == path.stem
    for domain in experiment.domains:
        assert scope_tasks(domain, "ift")["homo"]
    assert [mixed_ratio(group) for group in experiment.groups]


def test_the_papers_grid_has_its_nine_groups():
    experiment = read_experiment(shipped("scripts/experiments") / "world-paper.yaml", "runs")
    ratios = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8]
    assert set(experiment.groups) == {"harmonious", "incompatible", "self_aligning", *(f"mixed_{r}" for r in ratios)}
    assert (len(experiment.domains), experiment.seeds) == (4, (0,))
    seeds = read_experiment(shipped("scripts/experiments") / "world-seeds.yaml", "runs")
    assert (len(seeds.domains), len(seeds.groups), seeds.seeds) == (4, 3, (0, 1, 2))


def presets(experiment):
    return {model: recipe.presets for model, recipe in experiment.recipes.items()}


def test_a_model_on_a_gpu_is_packed_unless_its_experiment_says_otherwise(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    assert read_experiment(path, "runs").device == "cpu"
    for device, preset, expected in (
        ("cpu", None, {"a": ("world-cpu",), "b": ("cpu",)}),
        ("cpu", {"b": ["lora", "mine.yml"]}, {"a": ("world-cpu",), "b": ("cpu", "lora", "mine.yml")}),
        ("cuda", None, {"a": ("world-cpu",), "b": ON_A_GPU}),
        ("cuda:0", None, {"a": ("world-cpu",), "b": ON_A_GPU}),
        ("cuda", {"b": "lora"}, {"a": ("world-cpu",), "b": ("lora",)}),
        ("cuda", [], {"a": (), "b": ()}),
    ):
        given = {} if preset is None else {"preset": preset}
        path.write_text(yaml.safe_dump(GOOD | {"device": device} | given))
        assert presets(read_experiment(path, "runs")) == expected
        # What a profile says has the last word.
        path.write_text(yaml.safe_dump(GOOD | {"device": "mps"} | given))
        assert presets(read_experiment(path, "runs", {"device": device})) == expected


def without(key: str) -> str:
    return yaml.safe_dump({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "mapping"),
        (b"- a\n- b\n", "mapping"),
        (b"models: [a\ndomains: b\n", ":2: "),
        (b"a: 1\nb: c: d", ":2: "),
        (b"\xff\xfe", "cannot be read"),
        (b"a: \x00", "cannot be read"),
        (b"a: !!python/object/apply:os.getcwd []", ":1: "),
        *((without(key).encode(), f"no key {key!r}") for key in ("domains", "groups", "seeds")),
        (yaml.safe_dump(GOOD | {"seeds": []}).encode(), r"seeds: \[\]"),
        (yaml.safe_dump(GOOD | {"seeds": ["0"]}).encode(), "seeds: .*int"),
        (yaml.safe_dump(GOOD | {"seeds": [True]}).encode(), "seeds: .*int"),
        (yaml.safe_dump(GOOD | {"seeds": [0, 0]}).encode(), "seeds: "),
        (yaml.safe_dump(GOOD | {"seeds": [0, -1]}).encode(), "seeds: .*-1"),
        (yaml.safe_dump(GOOD | {"groups": "harmonious"}).encode(), "groups: 'harmonious'"),
        (yaml.safe_dump(GOOD | {"domains": [1]}).encode(), "domains: "),
        (yaml.safe_dump(GOOD | {"models": "embedded"}).encode(), "models: 'embedded'"),
        (without("models").encode(), "no key 'models'"),
        (yaml.safe_dump(GOOD | {"models": ["a"]}).encode(), "models: "),
        (without("name").encode(), "None .*name"),
        *(
            (yaml.safe_dump(GOOD | {"name": name}).encode(), "name.*letters")
            for name in (["a"], "", "..", "../a", "my run", "a/b", ".hidden", "-rf", "a;b")
        ),
        (yaml.safe_dump(GOOD | {"models": {"a b": "embedded"}}).encode(), "'a b'"),
        (
            yaml.safe_dump(GOOD | {"prest": "lora"}).encode(),
            "'prest'.* preset",
        ),
        (yaml.safe_dump(GOOD | {3: 4}).encode(), "'3'"),
        (yaml.safe_dump(GOOD | {"every_epoch": "false"}).encode(), "every_epoch: 'false'"),
        (yaml.safe_dump(GOOD | {"model_args": ["dtype=float32"]}).encode(), "model_args: "),
        (yaml.safe_dump(GOOD | {"size": 0}).encode(), "size: 0"),
        (yaml.safe_dump(GOOD | {"device": "gpu"}).encode(), "device: 'gpu'.* cuda:N"),
        (yaml.safe_dump(GOOD | {"lm_eval": "--device=cuda"}).encode(), "lm_eval: --device"),
        *(
            (yaml.safe_dump(GOOD | {"axolotl": flag}).encode(), f"axolotl: .*{says}")
            for flag, says in (
                ("--micro-batch-size 4", "micro_batch_size.* preset"),
                ("--gradient-accumulation-steps 2", "gradient_accumulation_steps.* preset"),
                ("--no-sample-packing", "sample_packing.* preset"),
                ("--sequence-len 64", "sequence_len.* preset"),
                ("--seed 7", "seed.* seeds"),
                ("--base-model x", "base_model.* models"),
                ("--output-dir x", "output_dir"),
                ("--datasets x", "datasets"),
                ("--launcher python --sweep x.yml", "sweep"),
                ("--cloud=x.yml", "cloud"),
            )
        ),
        (yaml.safe_dump(GOOD).encode() + b"seeds: [1]\n", "bad.yaml:[0-9]+: .*seeds"),
        (yaml.safe_dump(GOOD | {"groups": ["presets/lora"]}).encode(), "group 'presets/lora'"),
        (yaml.safe_dump(GOOD | {"tasks": "mmlu"}).encode(), "tasks: 'mmlu'"),
        (yaml.safe_dump(GOOD | {"domains": ["medicin"]}).encode(), "domain 'medicin'"),
        (yaml.safe_dump(GOOD | {"groups": ["incompatibel"]}).encode(), "group 'incompatibel'"),
        (yaml.safe_dump(GOOD | {"groups": ["mixed_1.3"]}).encode(), "group 'mixed_1.3'"),
    ],
)
def test_what_is_no_experiment_is_refused_in_one_line_that_names_the_file(tmp_path, content, says):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        read_experiment(path, "runs")
    assert str(error.value).startswith(f"{path}:")
    assert "\n" not in str(error.value)


def test_a_missing_experiment_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        read_experiment(tmp_path / "nowhere.yaml", "runs")
    with pytest.raises(InputError) as error:
        read_experiment(tmp_path, Path("runs"))
    assert error.value.path == tmp_path


def test_a_domain_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"'alchemy'.* medicine, history, engineering, jurisprudence"):
        scope_tasks("alchemy", "icl")
