"""`chatter-nb names`: guesses listed, entered into a lexicon file, heard."""

import soundfile

from chatter_nb.text.lexicon import read_lexicon

TEXT = "Siobhan met Nguyen, and Nguyen laughed."


def test_words_are_listed_entered_and_left_out_of_the_next_list(cli, tmp_path):
    lexicon = tmp_path / "names.yaml"
    given = ("names", TEXT, "-p", "engine=hibari", "--lexicon", lexicon)
    lines = cli(*given, check=0).stdout.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [
        ["Nguyen", "2", "əŋˈIən"],
        ["Siobhan", "1", "sɪˈɑbhən"],
    ]
    assert lines[2:] == ["the voice guesses at 2 words"]
    assert not lexicon.exists()
    said = ("--say", "Siobhan=Shivawn", "--say", "Nguyen = win", "--most", "1")
    told = cli(*given, *said, check=0).stdout
    assert f"{lexicon}: Siobhan: Shivawn\n{lexicon}: Nguyen: win\n" in told
    assert "the voice guesses at 0 words" in told
    assert f"speak with -p lexicon={lexicon}" in told
    assert lexicon.read_text() == "Siobhan: Shivawn\nNguyen: win\n"
    told = cli(*given, "--say", "Siobhan=Shi-vawn", check=0).stdout
    assert f"{lexicon}: Siobhan: Shi-vawn, was 'Shivawn'\n" in told


def test_a_lexicon_is_written_for_other_programs(cli, tmp_path):
    lexicon, pls = tmp_path / "names.yaml", tmp_path / "names.pls"
    lexicon.write_text("Siobhan: Shivawn\nNiamh: {ipa: niːv}\n")
    given = ("names", TEXT, "-p", "engine=hibari", "--lexicon", lexicon, "--pls", pls)
    assert f"{pls}: 2 words as PLS" in cli(*given, check=0).stdout
    ways = [(entry.word, entry.say, entry.ipa) for entry in read_lexicon(pls)]
    assert ways == [("Siobhan", "Shivawn", ""), ("Niamh", "", "niːv")]


def test_a_documents_lexicon_lies_beside_it(cli, tmp_path):
    story = tmp_path / "story.txt"
    story.write_text(TEXT)
    told = cli("names", "story.txt", "--say", "Nguyen=win", cwd=tmp_path, check=0).stdout
    assert (tmp_path / "lexicon.yaml").read_text() == "Nguyen: win\n"
    assert "Siobhan" in told
    told = cli("names", "story.txt", cwd=tmp_path, check=0).stdout
    assert "1 word\n" in told
    assert "-p lexicon=lexicon.yaml" in told


def test_samples_are_files_to_listen_to(cli, tmp_path):
    places = ("-p", f"outputs_dir={tmp_path}", "-p", "engine=hibari")
    told = cli("names", TEXT, *places, "--samples", check=0).stdout
    addresses = [line.strip() for line in told.splitlines() if "file://" in line]
    assert len(addresses) == 2
    for address in addresses:
        audio, rate = soundfile.read(address.removeprefix("file://"))
        assert 1 < len(audio) / rate < 3


def test_mistakes_are_sentences(cli, tmp_path):
    assert (
        "--say 'Siobhan' must be word=respelling" in cli("names", TEXT, "--say", "Siobhan").stderr
    )
    twice = ("--say", "a=b", "--say", "a=c")
    assert "--say a is given twice" in cli("names", TEXT, *twice, check=2).stderr
    pls = tmp_path / "a.pls"
    pls.write_text("<lexicon/>")
    told = cli("names", TEXT, "--lexicon", pls, "--say", "a=b", check=2).stderr
    assert f"lexicon {pls} is PLS, which other programs write: name a YAML file" in told
    assert "there is no file 'gone.epub'" in cli("names", "gone.epub", check=2).stderr
