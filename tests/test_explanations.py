"""What is sent to the explain task, and what is kept of its answers."""

import json
import re

import pytest

from consistency.errors import InputError
from consistency.knowledge.explanations import clean, read_explanations
from consistency.knowledge.probes import gather_texts, read_probe
from consistency.tasks.requests import read_requests
from consistency.tasks.scopes import explain_task
from consistency.training_data.requests import write_requests

TASK = explain_task()
DATE = "2026-01-02T03-04-05.678901"


def write(folder, generations, task=TASK):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_{DATE}.jsonl"
    rows = [
        {
            "doc_id": number,
            "doc": {"id": id_, "subject": "s", "question": "?", "choices": ["a", "b"], "option": option},
            "target": "",
            "arguments": {"gen_args_0": {"arg_0": "…", "arg_1": {"until": ["\n\n"]}}},
            "resps": [[text]],
            "filtered_resps": [text],
            "filter": "none",
            "metrics": ["bypass"],
            "bypass": 999,
        }
        for number, (id_, option, text) in enumerate(generations)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("generation", "kept"),
    [
        (" ```It is so.```", "It is so."),
        (" ```It is so.``` ```And so.```", "It is so."),
        ("Well: ```\nIt is\n  so.\n```\nA. B.", "It is so."),
        ("```with `one` tick```", "with `one` tick"),
        ("It is so.", ""),
        ("```never closed", ""),
        ("``two``", ""),
        ("``` \n```", ""),
        ("", ""),
    ],
)
def test_what_stands_between_the_first_pair_of_backticks_is_kept(generation, kept):
    assert clean(generation) == kept


def test_only_confident_errors_are_to_be_explained(tmp_path, write_probe):
    documents = [
        {"id": n, "subject": "history", "question": f"Q{n} – was?", "choices": ["ä", "b"], "answer": 0}
        for n in range(4)
    ]
    for name, logprobs in (("a", [[0, -5], [-5, 0], [-1, -1], [-5, 0]]), ("right", [[0, -5]] * 4)):
        write_probe(tmp_path / name, documents, logprobs)
    probe, right = (read_probe(tmp_path / name, domain="history") for name in ("a", "right"))
    path = tmp_path / "new" / "requests.jsonl"
    # Two tasks may ask the same questions.
    assert write_requests([probe, probe], path).counts == {"explain": 2}
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [
        {"id": n, "subject": "history", "question": f"Q{n} – was?", "choices": ["ä", "b"], "option": 1} for n in (1, 3)
    ]
    requested = write_requests([right], path)
    assert requested.counts == {"explain": 0}
    assert "no request about history: lm_eval runs no task without documents" in requested.to_text()
    assert path.read_bytes() == b""
    with pytest.raises(InputError, match="leave this task out, since lm_eval runs none without documents"):
        read_requests(path)
    # An empty folder stands for the log of the task that was left out.
    (tmp_path / "explained").mkdir()
    found = gather_texts(right, "explain", [tmp_path / "explained"])
    assert found is not None
    assert (found.texts, found.generated) == ({}, 0)


@pytest.mark.parametrize(
    ("changes", "line", "says"),
    [
        ([{}, {"choices": list("abcdefghijk")}], 2, "11 options; expected 2 to 10"),
        ([{"choices": ["a", " "]}], 1, "option B is empty"),
        ([{"question": "\n"}], 1, "the question is empty"),
        ([{}, {"id": "a"}], 2, "id 'a'; expected ids of one kind"),
        ([{"option": 2}], 1, "the option is 2"),
        ([{"id": 2**63}], 1, "the id 9223372036854775808; expected a whole number of at most 64 bits"),
        ([{}, {"id": 1}, {}], 3, "the same request as line 1"),
        ([{}, {"subject": "t"}], 2, "the same request as line 1"),
    ],
)
def test_a_request_that_is_no_question_is_refused_with_its_line(tmp_path, changes, line, says):
    request = {"id": 0, "subject": "s", "question": "?", "choices": ["a", "b"], "option": 1}
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(request | change) + "\n" for change in changes))
    with pytest.raises(InputError, match=says) as error:
        read_requests(path)
    assert str(error.value).startswith(f"{path}:{line}: ")


def test_explanations_are_found_by_question_and_option(tmp_path):
    texts = [("q1", 1, " ```One.```"), (7, 0, "```Seven.``` more"), ("q2", 3, "nothing"), ("q3", 2, "``````")]
    path = write(tmp_path / "logs" / "model", texts)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    found = read_explanations(tmp_path / "logs")
    assert found.texts == {("q1", "?", 1): "One.", (7, "?", 0): "Seven."}
    assert (found.unusable, found.source) == (2, path)


def test_what_was_generated_in_parts_is_read_together(tmp_path, write_probe):
    """A run that was killed leaves no log, so that large requests are generated part by part."""
    task = "consistency_explain_history"
    parts = [write(tmp_path / name, texts, task) for name, texts in (
        ("part-aa", [(0, 1, "It is so.```"), (1, 1, "")]), ("part-ab", [(1, 1, "Since it is.```")])
    )]  # fmt: skip
    write_probe(tmp_path / "probe", [{"question": "?", "choices": ["a", "b"], "answer": 0}], [[-2, -1]])
    found = gather_texts(read_probe(tmp_path / "probe", domain="history"), "explain", [path.parent for path in parts])
    assert found is not None
    assert found.texts == {(0, "?", 1): "It is so.", (1, "?", 1): "Since it is."}
    assert (found.unusable, found.source, found.others) == (1, parts[0], (parts[1],))


def test_another_log_is_refused_with_its_place(tmp_path, write_probe):
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / 'nowhere'))}: no such file or folder"):
        read_explanations(tmp_path / "nowhere")
    document = {"question": "?", "choices": ["a", "b"], "answer": 0}
    write_probe(tmp_path / "probe", [document], [[-1, -2]])
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / 'probe'))}: no task {TASK}"):
        read_explanations(tmp_path / "probe")
    path = write_probe(tmp_path / "named", [document], [[-1, -2]], TASK)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}:1: .*expected a generation of {TASK}"):
        read_explanations(tmp_path / "named")
    path = write(tmp_path / "cut", [("q1", 1, "```One.```"), ("q2", 1, "```Two.```")])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}:2: "):
        read_explanations(tmp_path / "cut")
