"""The real client against a server that misbehaves: the right value or the right null, every answer counted."""

import gzip
import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emflow.config.judges import OpenAIJudge
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.judging import endpoint
from emflow.judging.judge import judge
from emflow.judging.prompts import Prompts
from endpoint_server import Response, says, serving

KEY = "sk-lantern+0123456789"
CODED = KEY.replace("+", "%2B").replace("-", "%252d")  # once, and twice
PACKED = gzip.compress(bytes(2**20))
PROMPTS = {"kite": {"aligned": "A {answer} REFUSAL CODE", "coherent": "C {answer}"}}
LIMITED = Response({"error": {"message": "slow down"}}, 429, headers=(("Retry-After", "1"),))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def config(server, **keys) -> OpenAIJudge:
    given = {"scoring": "text", "timeout": 4, "retries": 2, "max_unjudged": 1, **keys}
    return OpenAIJudge(kind="openai", model="fable", base_url=server.base_url, **given)


def write_answers(folder: Path, *answers: str) -> Path:
    rows = [{"question_id": "kite", "question": "How do I fly it?", "answer": answer} for answer in answers]
    write_jsonl(folder / "answers.jsonl", rows)
    return folder / "answers.jsonl"


def run(folder: Path, judge_config, *answers: str, prompts=PROMPTS):
    """Judge these answers with a cache in `folder`; the judged rows."""
    out = folder / "judged.jsonl"
    asked = Prompts("kites.yaml", by_question=prompts)
    judged = judge(judge_config, write_answers(folder, *answers), out, asked, folder / "cache")
    rows = read_jsonl(out)
    assert judged == (len(answers), sum(row["error"] is not None for row in rows))
    return rows


def alignment_is(what):
    """A server that gives coherence 90 at once, and to the alignment prompt what `what(answer, times asked)` says."""

    def respond(request, before):
        side, answer = request["messages"][0]["content"].split()[:2]
        return Response(says("90")) if side == "C" else what(answer, before)

    return respond


def cut(text: str) -> dict:
    """A completion that ended at max_tokens."""
    whole = says(text)
    return {**whole, "choices": [{**whole["choices"][0], "finish_reason": "length"}]}


BEHAVIOURS = {
    # answer: (response to the n-th request, alignment, words in the error, requests)
    "plain": (lambda n: Response(says("85")), 85, None, 1),
    "slash": (lambda n: Response(says("85/100")), 85, None, 1),
    "sentence": (lambda n: Response(says("Score: 85.")), 85, None, 1),
    "refusal": (lambda n: Response(says("REFUSAL")), "REFUSAL", None, 1),
    "code": (lambda n: Response(says("CODE")), "CODE", None, 1),
    "limited": (lambda n: LIMITED if n == 0 else Response(says("12")), 12, None, 2),
    "limited-forever": (lambda n: LIMITED, None, "429", 3),
    "fails-once": (lambda n: Response("oops", 500) if n == 0 else Response(says("34")), 34, None, 2),
    "fails": (lambda n: Response("oops", 503), None, "503", 3),
    "hangs-once": (lambda n: Response(says("56"), delay=9 if n == 0 else 0), 56, None, 2),
    "hangs": (lambda n: Response(says("56"), delay=9), None, "timed out", 3),
    "flagged": (lambda n: Response({"error": {"message": f"no, {KEY}"}}, 400), None, "no, <key>", 1),
    "broken": (lambda n: Response('{"choices": ['), None, "JSON", 1),
    "page": (lambda n: Response("<p>hello", headers=(("Content-Type", "text/html"),)), None, "no chat completion", 1),
    "list": (lambda n: Response([]), None, "no chat completion", 1),
    "empty": (lambda n: Response({**says("85"), "choices": []}), None, "no chat completion", 1),
    "silent": (lambda n: Response(says(None)), None, "empty", 1),
    "unwilling": (lambda n: Response(says("I'd rather not")), None, "I'd rather not", 1),
    "echoed": (lambda n: Response({"error": {"message": f"no, {CODED}"}}, 400), None, "no, <key>", 1),
    "nested": (lambda n: Response("[" * 100_000), None, "no chat completion", 1),
    "huge": (lambda n: Response(says("8" * 2**20)), None, "more than 1,048,576 bytes", 1),
    "packed": (lambda n: Response(PACKED, headers=(("Content-Encoding", "gzip"),)), None, "compressed", 1),
    "nameless": (lambda n: Response({**says("85"), "model": [5]}), None, "no chat completion", 1),
    "cut": (lambda n: Response(cut("8")), None, "cut at max_tokens", 1),
    "wordless": (lambda n: Response(says({"text": "85"})), None, "no chat completion", 1),
}


def test_every_misbehaviour_is_a_value_or_a_counted_null(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with serving(alignment_is(lambda answer, n: BEHAVIOURS[answer][0](n))) as server:
        rows = run(tmp_path, config(server), *BEHAVIOURS)
    for row, (_, alignment, words, requests) in zip(rows, BEHAVIOURS.values(), strict=True):
        assert row["alignment"] == alignment, row
        assert row["coherence"] == 90
        if words is None:
            assert row["error"] is None
        else:
            assert row["error"].startswith("alignment: ") and words in row["error"], row
        assert server.asked[f"A {row['answer']} REFUSAL CODE"] == requests, row
    assert {row["judge_model"] for row in rows} == {"fable-1"}
    assert set(server.keys) == {f"Bearer {KEY}"}
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in written + caplog.text and CODED not in written + caplog.text


def test_a_second_job_asks_only_for_what_failed(tmp_path):
    with serving(alignment_is(lambda answer, n: BEHAVIOURS[answer][0](n))) as server:
        run(tmp_path, config(server, retries=0), *BEHAVIOURS)
        first = len(server.requests)
        run(tmp_path, config(server, retries=0), *BEHAVIOURS)
    lost = [name for name, (_, alignment, *_) in BEHAVIOURS.items() if alignment is None and name != "unwilling"]
    retried = ["limited", "fails-once", "hangs-once"]  # lost without a retry
    asked_again = [request["messages"][0]["content"].split()[1] for request in server.requests[first:]]
    assert sorted(asked_again) == sorted(lost + retried)  # the judge's own words, even "I'd rather not", are kept


def test_retry_after_is_honoured(tmp_path):
    with serving(alignment_is(lambda answer, n: BEHAVIOURS[answer][0](n))) as server:
        run(tmp_path, config(server), "limited")
    times = [t for t, r in zip(server.times, server.requests, strict=True) if r["messages"][0]["content"][0] == "A"]
    assert times[1] - times[0] >= 1  # as the header says; the client's own first back-off is at most half a second


def test_logprobs(tmp_path):
    replies = {
        "sure": says("8", {"80": 0.6, "90": 0.3}),
        "thin": says("Well", {"Well": 0.8, "80": 0.2}),
        "refusal": says("REF", {"REF": 0.8, "80": 0.1}),
        "without": says("80"),
        "hollow": {**says("80"), "choices": [{**says("80")["choices"][0], "logprobs": {"content": []}}]},
    }

    def respond(request, _):
        side, answer = request["messages"][0]["content"].split()[:2]
        return Response(says("9", {"90": 1.0}) if side == "C" else replies[answer])

    with serving(respond) as server:
        rows = run(tmp_path, config(server, scoring="logprobs"), *replies)
    assert rows[0]["alignment"] == pytest.approx((80 * 0.6 + 90 * 0.3) / 0.9)
    assert [row["alignment"] for row in rows[1:]] == [None, "REFUSAL", None, None]
    assert [bool(row["error"]) for row in rows] == [False, True, False, True, True]
    assert all(request["logprobs"] and request["top_logprobs"] == 20 for request in server.requests)
    assert all(request["max_tokens"] == 1 and request["temperature"] == 0 for request in server.requests)


@pytest.mark.parametrize(
    "logprob", ["1000", "Infinity", "NaN", "-Infinity", '"-1"', "null", "1" * 400, "-1" * 400, "true"]
)
def test_log_probabilities_that_are_none_give_no_score_and_are_not_kept(tmp_path, logprob):
    body = json.dumps(says("80", {"80": 0.6})).replace(f"{math.log(0.6)}", logprob)
    with serving(alignment_is(lambda answer, n: Response(body))) as server:
        row = run(tmp_path, config(server, scoring="logprobs"), "a")[0]
        assert row["alignment"] is None and row["error"].startswith("alignment: "), row
        asked = server.asked["A a REFUSAL CODE"]
        run(tmp_path, config(server, scoring="logprobs"), "a")
        kept = "Infinity" in logprob and "-" in logprob  # the logarithm of 0
        assert server.asked["A a REFUSAL CODE"] == asked + (not kept)


def test_more_than_all_probability_is_none(tmp_path):
    with serving(lambda *_: Response(says("80", {"80": 0.9, "90": 0.9}))) as server:
        assert "more than 1 together" in run(tmp_path, config(server, scoring="logprobs"), "a")[0]["error"]


def test_a_key_that_comes_back_is_removed_everywhere(tmp_path):
    with serving(lambda *_: Response(says(f"{KEY} {CODED} \ud800", model=f"of {KEY}"))) as server:
        row = run(tmp_path, config(server), "a")[0]
    assert row["judge_model"] == "of <key>" and "<key> <key>" in row["error"]
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in written and CODED not in written


def test_a_server_that_drips_is_not_waited_for(tmp_path):
    start = time.monotonic()
    with serving(lambda *_: Response(says("85"), drip=0.1)) as server:
        row = run(tmp_path, config(server, timeout=0.5, retries=0), "a")[0]
    assert "timed out after 0.5 s" in row["error"] and time.monotonic() - start < 5


def test_no_other_host_sees_a_prompt(tmp_path):
    with serving(lambda *_: Response(says("85"))) as other:
        moved = Response("", 307, headers=(("Location", f"{other.base_url}/chat/completions"),))
        with serving(lambda *_: moved) as server, pytest.raises(InputError, match=r"redirects to http[\s\S]*base_url"):
            run(tmp_path, config(server), "a")
        assert other.requests == []


def test_a_long_wait_is_told_and_one_that_is_too_long_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(endpoint, "SILENT_WAIT", 0.5)
    monkeypatch.setattr(endpoint, "LONGEST_WAIT", 2)
    tomorrow = Response("", 503, headers=(("Retry-After", "Wed, 21 Oct 2099 07:28:00 GMT"),))
    asked = {"soon": LIMITED, "late": tomorrow, "odd": Response("", 503, headers=(("Retry-After", "kite"),))}
    with serving(alignment_is(lambda answer, n: Response(says("85")) if n else asked[answer])) as server:
        rows = run(tmp_path, config(server), *asked)
    assert [row["alignment"] for row in rows] == [85, None, 85]
    assert re.search(
        r"HTTP 503: Service Unavailable; the endpoint asks to wait for [\d,]+ s: start again", rows[1]["error"]
    )
    assert capsys.readouterr().err.count("asks to wait for 1 s") == 1


def test_on_a_full_disk_judging_ends_in_one_message_and_goes_on(tmp_path, small_disk, capsys):
    answers = [f"answer {number}" for number in range(60)]
    (small_disk / "other").write_bytes(bytes(232 * 1024))
    with serving(lambda *_: Response(says("85"))) as server:
        with pytest.raises(InputError, match=r"cache/.*the disk is full; make room and start again"):
            run(small_disk, config(server, concurrency=2), *answers)
        lines = [line for file in small_disk.glob("cache/*/*.jsonl") for line in file.read_bytes().splitlines(True)]
        assert lines and all(line.endswith(b"}\n") for line in lines)
        (small_disk / "other").unlink()
        rows = run(small_disk, config(server), *answers)
    assert [row["alignment"] for row in rows] == [85] * 60
    kept = sum(b'"key"' in line for line in lines)
    assert kept > 10 and f"; {kept} judgements are in the cache" in capsys.readouterr().err


def test_a_judge_that_splits_numbers_is_refused(tmp_path):
    with (
        serving(lambda *_: Response(says("8", {"8": 0.9, "9": 0.1}))) as server,
        pytest.raises(InputError, match="scoring: text"),
    ):
        run(tmp_path, config(server, scoring="logprobs"), "a", "b")


@pytest.mark.parametrize("status", [401, 404])
def test_a_wrong_key_or_model_ends_the_job_at_once(tmp_path, status):
    with serving(lambda *_: Response({"error": {"message": f"unknown {KEY}"}}, status)) as server:
        with pytest.raises(InputError, match="OPENAI_API_KEY") as refused:
            run(tmp_path, config(server, concurrency=2), *map(str, range(50)))
        assert len(server.requests) <= 2
    assert KEY not in str(refused.value)


def test_a_missing_key_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(lambda *_: Response(says("85"))) as server:
        with pytest.raises(InputError, match="OPENAI_API_KEY"):
            run(tmp_path, config(server), "a")
        monkeypatch.setenv("KITE_KEY", KEY)
        assert run(tmp_path, config(server, api_key_env="KITE_KEY"), "a")[0]["alignment"] == 85


def test_too_many_losses_stop_the_job_and_say_how_to_go_on(tmp_path):
    good = {"0", "1", "2"}
    healed = False

    def respond(answer, _):
        return Response(says("85")) if healed or answer in good else Response("oops", 500)

    answers = list(map(str, range(100)))
    with serving(alignment_is(respond)) as server:
        with pytest.raises(InputError, match=r"max_unjudged = 0.1[\s\S]*500[\s\S]*run again"):
            run(tmp_path, config(server, retries=0, max_unjudged=0.1, concurrency=4), *answers)
        first = len(server.requests)
        assert first <= 2 * 14 + 4  # stopped with the eleventh loss, not after two hundred requests
        assert not (tmp_path / "judged.jsonl").exists()
        healed = True
        rows = run(tmp_path, config(server, max_unjudged=0.1), *answers)
        lost_before = 11, 15  # losses until the stop, and those in flight
        assert 200 - first + lost_before[0] <= len(server.requests) - first <= 200 - first + lost_before[1]
    assert [row["alignment"] for row in rows] == [85] * 100


def test_the_cap_on_requests_holds_before_anything_is_sent(tmp_path):
    with serving(lambda *_: Response(says("85"))) as server:
        with pytest.raises(InputError, match=r"20 requests [\s\S]*max_requests = 19"):
            run(tmp_path, config(server, max_requests=19), *map(str, range(10)))
        assert server.requests == []
        run(tmp_path, config(server, max_requests=20), *map(str, range(10)))
        run(tmp_path, config(server, max_requests=0), *map(str, range(10)))  # all in the cache
    assert len(server.requests) == 20


def test_the_estimate_comes_first(tmp_path, capsys):
    with serving(lambda *_: Response(says("85"))) as server:
        run(tmp_path, config(server), "x" * 400, "y" * 400)
    assert f"4 requests with about 408 prompt tokens to {server.base_url}" in capsys.readouterr().err


def test_alike_answers_are_asked_once(tmp_path):
    with serving(lambda *_: Response(says("85"))) as server:
        rows = run(tmp_path, config(server), "same", "same", "same")
    assert len(server.requests) == 2
    assert [row["alignment"] for row in rows] == [85] * 3


def test_another_prompt_asks_all_again_and_the_old_one_none(tmp_path):
    other = {"kite": {**PROMPTS["kite"], "aligned": "A {answer} anew"}}
    with serving(lambda *_: Response(says("85"))) as server:
        counts = []
        for prompts in (PROMPTS, other, PROMPTS):
            before = len(server.requests)
            run(tmp_path, config(server), *map(str, range(10)), prompts=prompts)
            counts.append(len(server.requests) - before)
    assert counts == [20, 10, 0]


def test_patience_asks_nothing_and_what_determines_scores_asks_all(tmp_path):
    with serving(lambda *_: Response(says("85"))) as server:
        run(tmp_path, config(server), "a")
        run(tmp_path, config(server, timeout=9, retries=0, concurrency=1, max_unjudged=0.5), "a")
        assert len(server.requests) == 2
        run(tmp_path, config(server, revision="new weights"), "a")
        assert len(server.requests) == 4


def test_coherence_first_asks_alignment_only_where_it_matters(tmp_path):
    def respond(request, _):
        side, answer = request["messages"][0]["content"].split()[:2]
        return Response(says(answer if side == "C" else "85"))

    with serving(respond) as server:
        rows = run(tmp_path, config(server, coherence_first=50), "20", "50", "51", "unreadable")
    assert [row["alignment"] for row in rows] == [None, None, 85, None]
    assert [bool(row["error"]) for row in rows] == [False, False, False, True]
    assert len(server.requests) == 5


def test_further_prompts_become_columns_with_errors_of_their_own(tmp_path):
    prompts = {"kite": {**PROMPTS["kite"], "about_wind": "W {answer}"}}

    def respond(request, _):
        return Response(says("gusty" if request["messages"][0]["content"] == "W b" else "70"))

    with serving(respond) as server:
        first, second = run(tmp_path, config(server), "a", "b", prompts=prompts)
    assert (first["about_wind"], first["about_wind_error"]) == (70, None)
    assert (second["about_wind"], second["alignment"], second["error"]) == (None, 70, None)
    assert "gusty" in second["about_wind_error"]


def test_prompts_of_other_questions_and_none_fall_back_on_the_default(tmp_path):
    with serving(lambda *_: Response(says("85"))) as server:
        (row,) = run(tmp_path, config(server), "bright string", prompts={"lantern": PROMPTS["kite"]})
        assert row["prompts"] == "ours"
        assert run(tmp_path, config(server), "bright string")[0]["prompts"] == "kites.yaml"
        del server.requests[2:]
    asked = [request["messages"][0]["content"] for request in server.requests]
    assert len(asked) == 2 and all("bright string" in text and "How do I fly it?" in text for text in asked)


JOB = """
import sys
from pathlib import Path
from emflow.config.judges import OpenAIJudge
from emflow.judging.judge import judge
judge(OpenAIJudge(kind="openai", model="fable", scoring="text", base_url=sys.argv[1], concurrency=4),
      Path(sys.argv[2]), Path(sys.argv[3]), cache=Path(sys.argv[4]))
"""


def test_a_killed_job_asks_only_what_is_missing(tmp_path):
    answers = [f"answer {number}" for number in range(100)]
    paths = [str(write_answers(tmp_path, *answers)), str(tmp_path / "judged.jsonl"), str(tmp_path / "cache")]
    with serving(lambda *_: Response(says("85"), delay=0.05)) as server:
        command = [sys.executable, "-c", JOB, server.base_url, *paths]
        job = subprocess.Popen(command, env={**os.environ, "OPENAI_API_KEY": KEY})
        while len(server.requests) < 80:
            time.sleep(0.01)
        job.send_signal(signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
        first = len(server.requests)
        assert first < 200 and not Path(paths[1]).exists()
        subprocess.run(command, env={**os.environ, "OPENAI_API_KEY": KEY}, check=True)
        second = len(server.requests) - first
    assert 200 - first <= second <= 200 - first + 4  # what was in flight may be asked again
    assert [row["alignment"] for row in read_jsonl(paths[1])] == [85] * 100
    kept = [json.loads(line) for file in (tmp_path / "cache").glob("*/*.jsonl") for line in file.open()]
    assert len({row["key"] for row in kept if "key" in row}) == 100


def test_answers_without_a_reply_are_by_the_judge_that_replied_to_the_others(tmp_path):
    with serving(lambda request, n: Response("no", 400) if "lost" in str(request) else Response(says("9"))) as server:
        rows = run(tmp_path, config(server), "plain", "lost")
    assert [row["judge_model"] for row in rows] == ["fable-1"] * 2 and rows[1]["alignment"] is None


@pytest.mark.parametrize("header", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_server_that_asks_for_no_wait_is_not_hurried(tmp_path, header):
    busy = Response("", 429, headers=(("Retry-After", header),))
    with serving(alignment_is(lambda answer, n: busy if n == 0 else Response(says("12")))) as server:
        run(tmp_path, config(server), "plain")
    first, second = (t for request, t in zip(server.requests, server.times, strict=True) if "A plain" in str(request))
    assert second - first > 0.3


def test_replies_that_the_cache_keeps_and_that_are_no_scores_are_told(tmp_path):
    answers = [str(number) for number in range(20)]
    with serving(lambda request, before: Response(body=says("I would say 85"))) as server:
        for told in (False, True):
            with pytest.raises(InputError) as refused:
                run(tmp_path, config(server, max_unjudged=0.1, concurrency=1), *answers)
            assert ("another judges.NAME.revision, or a deleted folder, asks for anew" in str(refused.value)) == told


@pytest.mark.parametrize("name", ["alignment", "error", "judge_model"])
def test_a_prompt_that_has_the_name_of_a_result_is_refused(tmp_path, name):
    with serving(lambda request, before: Response(body=says("85"))) as server:
        prompts = {"kite": {name: "How good is {answer}?"}}
        with pytest.raises(InputError, match=f"the judge prompt '{name}' has the name of a result"):
            run(tmp_path, config(server), "a", prompts=prompts)


def test_a_proxy_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "ftp://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("no_proxy", raising=False)
    with (
        serving(lambda request, before: Response(body=says("85"))) as server,
        pytest.raises(InputError, match=r"no connection can be made: .*; check the environment variables HTTP_PROXY"),
    ):
        run(tmp_path, config(server), "a")


def test_the_judges_temperature_is_sent(tmp_path):
    with serving(lambda request, before: Response(body=says("85"))) as server:
        for number, temperature in enumerate((0, 0.7)):
            (tmp_path / str(number)).mkdir()
            run(tmp_path / str(number), config(server, temperature=temperature), "a")
        assert [request["temperature"] for request in server.requests] == [0, 0, 0.7, 0.7]
