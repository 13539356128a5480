"""Why a run failed, told from what the programs print: by the programs themselves where they can be made to fail here."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from consistency.experiment.failures import find_reason, read_failures

# By lm_eval 0.4.11 and Axolotl 0.19.0 where a model has no chat template, rows are missing, and settings are wrong; the last
# two also through accelerate, which fails for no reason of its own.
NO_TEMPLATE = """    raise ValueError(
ValueError: Cannot use chat template functions because tokenizer.chat_template is not set and no template argument was passed!\
 For information about writing templates please see the documentation
exit code 1
"""
NO_ROWS = """    raise ValueError(
ValueError: The dataset could not be loaded. This could be due to a misconfigured dataset path (groups/a.jsonl). Try double-check\
 your path / name / data_files. This is not caused by the dataset type.
"""
WRONG = """    validated_self = self.__pydantic_validator__.validate_python(data, self_instance=self)
                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
pydantic_core._pydantic_core.ValidationError: 2 validation errors for AxolotlConfigWCapabilities
micro_batch_size
  Input should be a valid integer, unable to parse string as an integer [type=int_parsing, input_value='many', input_type=str]
    For further information visit https://errors.pydantic.dev/2.12/v/int_parsing
learning_rate
  Value error, could not convert string to float: 'abc' [type=value_error, input_value='abc', input_type=str]
    For further information visit https://errors.pydantic.dev/2.12/v/value_error
"""
ACCELERATE = """Traceback (most recent call last):
  File "accelerate/commands/launch.py", line 993, in simple_launcher
    raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)
subprocess.CalledProcessError: Command '['python', '-m', 'axolotl.cli.train', 'a.yml']' returned non-zero exit status 1.
exit code 1
"""
# On an H100, by PyTorch 2.11.
CUDA = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.18 GiB of which "
    "18.66 GiB is free. Including non-PyTorch memory, this process has 60.51 GiB memory in use.\nexit code 1\n"
)
# By Snakemake 9.6.2 with its Slurm executor 1.6.0: a failed attempt, one that Slurm refused, and the summary at the end.
SNAKEMAKE = """
[Tue Nov 24 20:45:11 2026]
Error in rule train:
    message: SLURM-job '6' failed, SLURM status is: '{status}'. For further error details see the cluster/cloud log.
    jobid: 5
    input: groups/harmonious.jsonl
    output: tuned/harmonious.checked.txt
    log: {log}, /somewhere/.snakemake/slurm_logs/6.log (check log file(s) for error details)
    shell:
        log="$PWD/logs/harmonious.train.log"; if [ 1 -gt 0 ]; then exit 1; fi; bash train.sh 'base_model: "ce38"
flags: "--launcher python"
seed: 0' axolotl train
        (command exited with non-zero exit code)
    external_jobid: 6
Trying to restart job 5.
[Tue Nov 24 20:46:11 2026]
Error in rule evaluate:
    message: SLURM sbatch failed. The error message was 'sbatch: error: Memory specification can not be satisfied
sbatch: error: Batch job submission failed: Requested node configuration is not available'.
    sbatch call:
        sbatch --parsable
    jobid: 8
    output: logs/incompatible
    log: logs/incompatible.evaluate.log (check log file(s) for error details)
    shell:
        lm_eval run
        (command exited with non-zero exit code)
Exiting because a job execution failed. Look below for error messages
[Tue Nov 24 20:46:11 2026]
Error in rule train:
    message: None
    jobid: 5
    input: groups/harmonious.jsonl
    output: tuned/harmonious.checked.txt
    log: {log} (check log file(s) for error details)
    shell:
        log=
        (command exited with non-zero exit code)
"""


def _reason(tmp_path: Path, text: str, state: str | None = None) -> str:
    log = tmp_path / "a.log"
    log.write_text(text)
    return find_reason(log, state)


def _run(tmp_path: Path, program: str, **settings: object) -> str:
    """What a program prints, with the line that the grid adds to it."""
    log = tmp_path / "a.log"
    script = f"{program} > {log} 2>&1 || echo exit code $? >> {log}"
    subprocess.run(["bash", "-c", script], check=False, **settings)  # type: ignore[call-overload]
    return find_reason(log)


def _python(tmp_path: Path, lines: str) -> str:
    (tmp_path / "program.py").write_text(lines)
    return _run(tmp_path, f"{sys.executable} {tmp_path / 'program.py'}")


def test_out_of_memory_on_a_gpu(tmp_path: Path) -> None:
    reason = _reason(tmp_path, CUDA)
    assert reason.startswith("out of memory on the GPU (it wanted 20.00 GiB more); lower micro_batch_size")


def test_out_of_memory_of_torch_and_of_python(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert _python(tmp_path, "import torch\ntorch.empty(1 << 55)").startswith("out of memory; lower the batch size")
    assert _python(tmp_path, "bytearray(1 << 62)").startswith("out of memory; ")


def test_a_full_disk_and_a_limit_on_files(tmp_path: Path) -> None:
    assert _python(tmp_path, "open('/dev/full', 'wb', 0).write(b'a')").startswith("no space left on device")
    limited = f"{sys.executable} -c \"print(*b'a' * 4096, file=open('{tmp_path}/large', 'w'), flush=True)\""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    assert _run(tmp_path, limited, preexec_fn=limit).startswith("a file grew over the limit of this shell")


def test_a_missing_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    del datasets
    reason = _python(tmp_path, "from datasets import load_dataset\nload_dataset('json', data_files='/nowhere/a.jsonl')")
    assert "/nowhere/a.jsonl" in reason
    assert reason.startswith("missing ")


def test_an_unknown_setting(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    program = f"{Path(sys.executable).parent / 'lm_eval'} run --model hf --tasks a --lmit 3"
    assert _run(tmp_path, program).startswith("unknown setting --lmit 3")


def test_a_message_of_ours_is_the_reason(tmp_path: Path) -> None:
    text = "…\nconsistency: a/model.safetensors: w holds 2 values that are NaN or infinite: the training diverged\nexit code 2\n"
    assert (
        _reason(tmp_path, text)
        == "a/model.safetensors: w holds 2 values that are NaN or infinite: the training diverged"
    )


@pytest.mark.parametrize(("signal", "reason"), [("KILL", "killed; most often"), ("TERM", "terminated from outside")])
def test_a_signal(tmp_path: Path, signal: str, reason: str) -> None:
    assert _run(tmp_path, f"bash -c 'echo 50%; kill -{signal} $$'").startswith(reason)


def test_what_lm_eval_and_axolotl_end_with(tmp_path: Path) -> None:
    assert _reason(tmp_path, NO_TEMPLATE).startswith("the tokenizer has no chat template; ")
    for end in ("exit code 1\n", ACCELERATE):
        assert _reason(tmp_path, NO_ROWS + end) == "missing or unreadable training rows: groups/a.jsonl"
        assert _reason(tmp_path, WRONG + end) == (
            "wrong settings: micro_batch_size: Input should be a valid integer, unable to parse string as an integer;"
            " learning_rate: could not convert string to float: 'abc';"
            " correct them in the experiment file or the preset"
        )
    assert _reason(tmp_path, "[rank0]: KeyError: 'a'\n" + ACCELERATE) == "KeyError: 'a'"
    # Nothing else was printed.
    assert _reason(tmp_path, ACCELERATE).startswith("subprocess.CalledProcessError: ")


def test_only_the_last_attempt_counts(tmp_path: Path) -> None:
    begun = "begun 2026-11-28T10:00:00+00:00, PID 7 on a\n"
    assert _reason(tmp_path, f"{begun}{CUDA}{begun}KeyError: 'a'\nexit code 1\n") == "KeyError: 'a'"
    assert _reason(tmp_path, f"{begun}{CUDA}{begun}exit code 1\n") == "nothing was printed"


def test_any_other_error_is_shown_as_it_is(tmp_path: Path) -> None:
    assert _python(tmp_path, "print('50%')\n{}['key']") == "KeyError: 'key'"
    assert _reason(tmp_path, "first\nlast\nexit code 3\n") == "last"
    assert "\n" not in _reason(tmp_path, "")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("NODE_FAIL", "its node failed"),
        ("CANCELLED", "cancelled in Slurm"),
        ("OUT_OF_MEMORY", "out of memory; ask for more: --set-resources RULE:mem_mb=…"),
        ("TIMEOUT", "out of time; ask for more: --set-resources RULE:runtime=MINUTES"),
    ],
)
def test_snakemake_s_log_names_each_run_once(tmp_path: Path, status: str, reason: str) -> None:
    program, log = tmp_path / "train.log", tmp_path / "snakemake.log"
    program.write_text("50%\n")
    log.write_text(SNAKEMAKE.format(status=status, log=program))
    train, evaluate = read_failures(log)
    assert train.to_text() == f"train of tuned/harmonious.checked.txt: {reason}; log: {program}"
    assert evaluate.reason == "Slurm refuses the job: Memory specification can not be satisfied"
    # What the program itself said is more than how its job ended.
    program.write_text(CUDA)
    assert read_failures(log)[0].reason.startswith("out of memory on the GPU")
