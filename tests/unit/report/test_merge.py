"""Shards -> one report: what one run of the whole would have said, or a sentence on why they are none."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from bpfcompat.errors import BpfcompatError
from bpfcompat.model import Check, Matrix, Payload, Profile, Project
from bpfcompat.outcome import Run
from bpfcompat.project import schema, shard
from bpfcompat.report import document, merge

from .test_report import FAIL, INFRA, NOT_RUNNABLE, PASS, target

VERDICTS = {"k0": PASS, "k1": FAIL, "k2": PASS, "k3": INFRA, "k4": PASS}


def reported(project, verdicts, run_id="20260101T110000Z-aaaaaa", cached=(), **changed):
    targets = tuple(target(row.id, verdicts[row.id], row.required, row.id in cached) for row in project.matrix.profiles)
    run = Run(run_id, "2026-01-01T11:00:00Z", "2026-01-01T11:00:09Z", project, targets,
              {"command": Payload("b" * 64)}, qemu="8", accelerator="tcg", boot="warm")  # fmt: skip
    return document.render(replace(run, **changed), {"json": "report.json"})


def shards(verdicts=VERDICTS, count=2, required=()):
    rows = tuple(Profile(name, f"apt:x/{name}", name in required or not required) for name in verdicts)
    whole = Project((Check("loader --self-test"),), Matrix(rows), Path("work"))
    parts = [shard.take(whole, f"{index + 1}/{count}", {}) for index in range(count)]
    return whole, {
        f"{index}.json": reported(part, verdicts, f"20260101T11000{index}Z-aaaaaa") for index, part in enumerate(parts)
    }


def test_it_is_what_one_run_of_the_whole_would_have_said():
    whole, parts = shards()
    merged, alone = merge.merge(dict(reversed(parts.items()))), reported(whole, VERDICTS)
    assert schema.problems(merged, "report") == []
    assert merged["merged"] == ["20260101T110000Z-aaaaaa", "20260101T110001Z-aaaaaa"]
    for part in ("targets", "summary", "matrix", "artifact", "command", "tool"):
        assert merged[part] == alone[part]
    assert merge.merge(parts)["run"] == merged["run"]


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ({"k0": PASS, "k1": PASS}, "pass"),
        ({"k0": PASS, "k1": INFRA}, "error"),
        ({"k0": FAIL, "k1": INFRA}, "fail"),
        ({"k0": NOT_RUNNABLE, "k1": PASS}, "error"),
    ],
)
def test_its_status_is_that_of_the_whole(verdicts, status):
    assert merge.merge(shards(verdicts)[1])["summary"]["status"] == status


def test_optional_rows_decide_nothing_and_a_shard_without_required_ones_is_nothing_to_tell():
    merged = merge.merge(shards({"k0": PASS, "k1": FAIL}, required=("k0",))[1])
    assert merged["summary"]["status"] == "pass"
    assert merged["summary"]["notes"] == ["k1 is optional, so its fail does not count."]


def test_what_failed_the_same_way_in_one_shard_only_is_not_told_as_such():
    verdicts = dict.fromkeys(("k0", "k1", "k2"), FAIL)
    assert "on each of the 3 kernels" in merge.merge(shards(verdicts)[1])["summary"]["notes"][0]
    six = {f"k{index}": FAIL for index in range(6)}
    _, parts = shards(six)
    lone = max(parts.values(), key=lambda part: len(part["targets"]))
    other = next(part for part in parts.values() if part is not lone)
    other["targets"][0].update(status="pass")
    assert not any("on each of" in note for note in merge.merge(parts)["summary"]["notes"])


def changed(what):
    _, parts = shards()
    parts = copy.deepcopy(parts)
    what(parts)
    return parts


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda parts: parts.pop("1.json"), "shard 2/2 is missing"),
        (lambda parts: parts.update({"again.json": copy.deepcopy(parts["0.json"])}), "are both shard 1/2"),
        (lambda parts: parts["1.json"].pop("shard"), "is not the report of a shard"),
        (lambda parts: parts["1.json"]["shard"].update(plan="c" * 64), "do not divide the same matrix"),
        (lambda parts: parts["1.json"]["shard"].update(payloads={"command": "c" * 64}), "with other files"),
        (lambda parts: parts["1.json"]["artifact"].update(sha256="c" * 64), "do not bring the same files"),
        (lambda parts: parts["1.json"]["command"].update(expected_exit_code=4), "do not run the same command"),
        (lambda parts: parts["1.json"]["tool"].update(version="0"), "the same version"),
        (lambda parts: parts["1.json"]["tool"].update(boot="cold"), "boot in the same way"),
    ],
)
def test_what_does_not_belong_together_is_refused(what, words):
    with pytest.raises(BpfcompatError, match=words):
        merge.merge(changed(what))


def test_another_plan_of_the_same_matrix_is_another():
    first = shards(count=2)[1]["0.json"]
    second = shards(count=3)[1]["1.json"]
    with pytest.raises(BpfcompatError, match="do not divide the same matrix"):
        merge.merge({"a": first, "b": second})
