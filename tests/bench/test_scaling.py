"""Time and memory against text length; ways around the embedded voice; what the notebook asks."""

import asyncio

import numpy as np
import pytest

from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.bench.params import SUITES, Options, TimingParams
from chatter_nb.bench.scaling import Point, Scaling, measure_scaling, slope, text_of
from chatter_nb.bench.suites import overhead
from chatter_nb.bench.suites.embedded import demo_text, same_samples
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak_plan import plan_speech


@pytest.mark.parametrize("k", [0.0, 0.5, 1.0, 2.0])
def test_the_slope_of_a_power_is_its_exponent(k):
    assert slope([(n, 3 * n**k) for n in (100, 700, 1000, 9000)]) == pytest.approx(k)


def test_noise_moves_the_slope_little():
    points = [(500, 0.51), (1500, 1.47), (5000, 5.1), (16000, 15.8)]
    assert slope(points) == pytest.approx(1, abs=0.02)


def test_slopes_of_time_and_memory_are_of_their_own_figures():
    points = tuple(Point(n, n * 2.0, n / 15, 100 * n**0.1) for n in (500, 5000))
    scaling = Scaling("hibari", points)
    assert scaling.time_slope == pytest.approx(1)
    assert scaling.memory_slope == pytest.approx(0.1)


@pytest.mark.parametrize("chars", [50, 500, 6003, 40_000])
def test_a_text_has_its_length_to_a_word(chars):
    assert chars - 20 < len(text_of(chars)) <= chars


def test_a_long_text_is_the_demo_again():
    text, demo = text_of(20_000), demo_text(0).strip()
    assert text.startswith(f"{demo}\n\n{demo}\n\n{demo}\n\n")


@pytest.mark.slow
def test_lengths_are_spoken_in_fresh_processes():
    """Twice the text is more audio and more work; memory is told."""
    short, long = measure_scaling([800, 300]).points
    assert (short.chars, long.chars) == (300, 800)
    assert 1.5 < long.audio_s / short.audio_s < 4
    assert long.wall_s > 0
    assert short.wall_s > 0
    assert short.peak_rss_mb is None or 50 < short.peak_rss_mb < 2000


@pytest.mark.parametrize("lengths", [[500], [500, 500], [10, 500]])
def test_lengths_that_show_nothing_are_refused(lengths):
    with pytest.raises(InputError, match="two and more, different, of at least 50 characters"):
        measure_scaling(lengths)


@pytest.fixture
def plan(tmp_path):
    values = {"text": demo_text(3), "engine": "hibari", "outputs_dir": str(tmp_path)}
    return plan_speech(SpeakParams.create(values))


def test_all_ways_around_hibari_make_the_same_samples(plan):
    ways = overhead.embedded_ways(plan)
    made = {name: way() for name, way in ways.items()}
    assert len(ways) == 5
    assert [len(chunks) for chunks in made.values()] == [3] * 5
    for chunks in made.values():
        assert same_samples(made[overhead.BARE], chunks)


def test_samples_that_differ_are_told():
    one, other = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert not same_samples([one, one], [one, other])
    assert not same_samples([one, one], [one])


def test_the_ways_run_where_a_loop_runs_already(plan):
    """As in a notebook, whose kernel is in one."""
    way = overhead.embedded_ways(plan)["bare, asyncio.to_thread"]

    async def in_a_kernel():
        return way()

    assert len(asyncio.run(in_a_kernel())) == 3


def test_overhead_on_hibari_compares_five_ways_with_bare_calls():
    results = overhead.run(Options(engine="hibari", chunks=2, repeats=3))
    assert [result.name for result in results] == [
        *("process_one_chunk", overhead.RUN, "bare, asyncio.to_thread", "bare, thread pool"),
        overhead.HTTP,
    ]
    assert all(result.identical for result in results)
    assert {len(result.samples["ours"]) for result in results} == {3}
    assert {result.figures["chunks"] for result in results} == {2}


def test_a_suite_is_given_only_what_it_takes():
    params = TimingParams(suites=["embedded", "pipeline"], engine="chatterbox", chunks=4)
    assert params.given("embedded") == {"chunks": 4}
    assert set(params.given("pipeline")) <= set(SUITES["pipeline"].defaults)
    assert params.given("pipeline")["engine"] == "chatterbox"
    assert (params.overhead.chunks, params.overhead.engine) == (4, "chatterbox")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"suites": ["embeded"]}, "there is no 'embeded'; there is: embedded, "),
        ({"suites": ["t3"]}, "'t3' measures Chatterbox: set engine"),
        ({"repeats": 4}, "repeats: should be greater than or equal to 5"),
        ({"lengths": [500, 500]}, "two different ones at least"),
        ({"lengths": 500}, "lengths: "),
        ({"checkpoint": "x"}, "checkpoint is for Chatterbox"),
    ],
)
def test_what_cannot_be_measured_is_told(values, told):
    with pytest.raises(ParamError, match=told):
        TimingParams.create(values)
