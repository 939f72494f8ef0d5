"""Manifests: strict, with the line of every mistake, and told to the validator word for word."""

import contextlib
import shlex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfcompat.errors import BpfcompatError
from bpfcompat.project import manifest
from bpfcompat.validation import FunctionalTest, MapFixup, ProgramChoice, Validation, Variant
from bpfcompat.workflow.jobs import _as_json

WHOLE = """\
name: everything
metadata: {owner: somebody}
programs:
  - {name: a, section: kprobe, type: kprobe, load: true, attach: {kind: kprobe, symbol: do_nanosleep}}
  - {name: b, attach: {kind: tracepoint, category: sched, name: sched_switch, required: false}}
  - {name: c, attach: {kind: raw_tracepoint, name: sys_enter}, load: false}
maps:
  - {name: events, max_entries: cpus, inner_ringbuf_bytes: 8388608}
  - {name: sizes, max_entries: 12}
  - {name: outer, inner: {type: hash, key_size: 4, value_size: 8, max_entries: 10}}
program_variants:
  - group: g
    programs: [{name: d, requires_helper: bpf_loop}, {name: e, requires_helper: 131}, {name: f, probe: trial_load}, {name: h}]
probe_companions: [i]
required_profiles: [debian-12-6.1]
functional_tests:
  - {name: t, command: "echo 'a b' $HOME", timeout: 1.5s, expect_exit_code: 3, expect_stdout_contains: x, required: false}
"""


def written(tmp_path, text):
    (tmp_path / "m.yaml").write_text(text)
    return tmp_path / "m.yaml"


def test_a_whole_manifest_and_the_command_that_it_becomes(tmp_path):
    validation, required = manifest.load(written(tmp_path, WHOLE), None)
    assert required == ("debian-12-6.1",)
    assert validation == Validation(
        "behavior",
        (
            MapFixup("events", "cpus", (27, 0, 0, 8388608)),
            MapFixup("sizes", "12"),
            MapFixup("outer", None, (1, 4, 8, 10)),
        ),
        (
            ProgramChoice("a", "kprobe", 2, True, "kprobe,do_nanosleep"),
            ProgramChoice("b", None, None, None, "tracepoint,sched/sched_switch", False),
            ProgramChoice("c", None, None, False, "raw_tracepoint,sys_enter"),
        ),
        (Variant("g", "d", 181), Variant("g", "e", 131), Variant("g", "f", None, True), Variant("g", "h")),
        ("i",),
        (FunctionalTest("t", "echo 'a b' $HOME", False, 1.5, 3, "x"),),
    )
    words = shlex.split(manifest.command(validation))
    assert words[:3] == ["/bpfcompat/payload/validator/validator", "--mode", "behavior"]
    assert words[-1] == "$BPFCOMPAT_ARTIFACT"
    pairs = list(zip(words[1:-1:2], words[2:-1:2], strict=True))
    assert pairs[1:] == [
        ("--map", "events:max_entries=cpus"), ("--map", "events:inner=27,0,0,8388608"), ("--map", "sizes:max_entries=12"),
        ("--map", "outer:inner=1,4,8,10"), ("--program", "a:type=2"), ("--program", "a:load=1"),
        ("--program", "a:attach=kprobe,do_nanosleep"), ("--program", "b:attach=tracepoint,sched/sched_switch"),
        ("--program", "c:load=0"), ("--program", "c:attach=raw_tracepoint,sys_enter"), ("--variant", "g:d:helper=181"),
        ("--variant", "g:e:helper=131"), ("--variant", "g:f:trial"), ("--variant", "g:h"), ("--companion", "i"),
        ("--test", "1.5:echo 'a b' $HOME"),
    ]  # fmt: skip
    from dataclasses import asdict

    assert manifest.of_plain(_as_json(asdict(validation))) == validation


def test_a_mode_says_whether_tests_run(tmp_path):
    path = written(tmp_path, WHOLE)
    assert manifest.load(path, "load_only")[0].tests == ()
    assert manifest.load(None, None)[0] == Validation("load_attach")
    with pytest.raises(BpfcompatError, match="there are none"):
        manifest.load(None, "behavior")


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("[]\n", 1, "is a mapping", "programs:"),
        ("program: []\n", 1, "unknown key 'program'", "did you mean 'programs'"),
        ("programs: [{name: a, attach: {requierd: true}}]\n", 1, "unknown key 'requierd'", "'required'"),
        ("programs:\n  - {name: a}\n  - {name: a}\n", 3, "'a' stands here a second time", ""),
        ("maps: [{name: m, max_entries: 0}]\n", 1, "maps.0.max_entries", ""),
        ("maps: [{name: m, max_entries: many}]\n", 1, "maps.0.max_entries", ""),
        ("maps: [{name: m, inner: {type: ringbuff, max_entries: 1}}]\n", 1, "no map type 'ringbuff'", "'ringbuf'"),
        ("programs: [{name: a, type: kprob}]\n", 1, "no program type 'kprob'", "'kprobe'"),
        ("programs: [{name: 'a b'}]\n", 1, "programs.0.name cannot be", "letters, digits"),
        ("programs: [{name: a, attach: {kind: kprobe}}]\n", 1, "a kprobe needs `symbol:`", "symbol:"),
        ("programs: [{name: a, attach: {kind: tracepoint, name: x}}]\n", 1, "needs `category:`", "category:"),
        ("program_variants: [{group: g, programs: [{name: a, requires_helper: bpf_lop}]}]\n", 1, "no helper 'bpf_lop'", "bpf_loop"),
        ("functional_tests: [{name: t}]\n", 1, "has no 'command'", "command:"),
        ("functional_tests: [{name: t, command: x, timeout: soon}]\n", 1, "timeout", ""),
        ("functional_tests: [{name: t, command: x, expect_exit_code: 256}]\n", 1, "it must be 0 to 255", ""),
    ],
)  # fmt: skip
def test_mistakes_name_the_line_and_the_way_out(tmp_path, text, line, words, hint):
    with pytest.raises(BpfcompatError) as caught:
        manifest.load(written(tmp_path, text), None)
    assert f"m.yaml:{line}: " in caught.value.message
    assert words in caught.value.message
    assert hint in caught.value.hint


KEYS = st.sampled_from(
    ["programs", "maps", "name", "attach", "program_variants", "group", "functional_tests", "command", "inner"]
)
VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text() | VALUES.map(repr))
def test_whatever_stands_in_it_is_a_manifest_or_a_sentence(tmp_path, text):
    with contextlib.suppress(BpfcompatError):
        manifest.load(written(tmp_path, text.encode("utf-8", "replace").decode()), None)
