"""The measures of answers, against values worked out by hand and against the libraries that set the standard."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from lmcli.evaluation import classification, rouge, translation
from lmcli.evaluation.porter import stem

# Of 4 a two are found; of 3 b all, with one of a's and c's; of 2 c one, with one of a's.
WANTED = ["a", "a", "a", "a", "b", "b", "b", "c", "c"]
GOT = ["a", "a", "b", "c", "b", "b", "b", "c", "b"]


def test_a_confusion_matrix_has_a_row_for_what_is_wanted_and_a_column_for_what_was_told() -> None:
    figures = classification.measure(WANTED, GOT)
    assert [label.name for label in figures.labels] == ["a", "b", "c"]
    assert figures.confusion == ((2, 1, 1), (0, 3, 0), (0, 1, 1))
    assert figures.n == 9


def test_accuracy_and_f1_are_those_worked_out_by_hand() -> None:
    figures = classification.measure(WANTED, GOT)
    assert figures.accuracy == pytest.approx(6 / 9)
    assert [label.precision for label in figures.labels] == pytest.approx([2 / 2, 3 / 5, 1 / 2])
    assert [label.recall for label in figures.labels] == pytest.approx([2 / 4, 3 / 3, 1 / 2])
    assert [label.f1 for label in figures.labels] == pytest.approx([2 / 3, 3 / 4, 1 / 2])
    assert [label.support for label in figures.labels] == [4, 3, 2]
    assert figures.macro_f1 == pytest.approx((2 / 3 + 3 / 4 + 1 / 2) / 3)


def test_matthews_correlation_of_two_labels_is_matthews_own() -> None:
    # 3 true and 1 false positives, 2 true and 2 false negatives
    wanted = ["1"] * 5 + ["0"] * 3
    got = ["1", "1", "1", "0", "0", "1", "0", "0"]
    by_hand = (3 * 2 - 1 * 2) / math.sqrt((3 + 1) * (3 + 2) * (2 + 1) * (2 + 2))
    assert classification.measure(wanted, got).matthews == pytest.approx(by_hand)


def test_matthews_correlation_of_three_labels_follows_gorodkin() -> None:
    # total 9, right 6, told 2, 5, 2, had 4, 3, 2
    by_hand = (6 * 9 - (2 * 4 + 5 * 3 + 2 * 2)) / math.sqrt((81 - (4 + 25 + 4)) * (81 - (16 + 9 + 4)))
    assert classification.measure(WANTED, GOT).matthews == pytest.approx(by_hand)


@pytest.mark.parametrize(("got", "accuracy", "matthews"), [(["x", "x"], 0.5, 0.0), (["x", "y"], 1.0, 1.0)])
def test_one_label_for_all_has_no_correlation(got: list[str], accuracy: float, matthews: float) -> None:
    figures = classification.measure(["x", "y"], got)
    assert (figures.accuracy, figures.matthews) == (accuracy, matthews)


def test_a_label_that_was_only_told_counts_in_macro_f1() -> None:
    assert classification.measure(["a", "a"], ["a", "z"]).macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_labels_must_be_as_many_as_texts() -> None:
    with pytest.raises(ValueError, match="2 labels wanted, 1 got"):
        classification.measure(["a", "b"], ["a"])


ENGLISH = ["the cat sat on the mat", "there is a big tree near the park", "nothing in common"]
REFERENCES = [["the cat is on the mat", "a cat sat on the mat"], ["a tree is growing near the park"], ["zz"]]


def test_english_translations_have_sacrebleus_own_figures() -> None:
    figures = translation.measure(ENGLISH, REFERENCES, "en")
    columns = [["the cat is on the mat", "a tree is growing near the park", "zz"], ["a cat sat on the mat", None, None]]
    assert figures.bleu == BLEU().corpus_score(ENGLISH, columns).score
    assert figures.chrf == CHRF().corpus_score(ENGLISH, columns).score
    assert "nrefs:var" in figures.bleu_signature
    assert "tok:13a" in figures.bleu_signature
    assert figures.chrf_signature.startswith("nrefs:var|case:mixed|eff:yes|nc:6|nw:0")


@pytest.mark.parametrize(("language", "cut"), [("zh", "zh"), ("zh-TW", "zh"), ("ja", "char"), ("de", "13a")])
def test_the_language_decides_how_a_translation_is_cut(language: str, cut: str) -> None:
    wrote, wanted = "我们明天去北京学习 Python。", "我们明天去北京参加 Python 学习。"
    figures = translation.measure([wrote], [[wanted]], language)
    assert figures.bleu == BLEU(tokenize=cut).corpus_score([wrote], [[wanted]]).score
    assert f"tok:{cut}|" in figures.bleu_signature


def test_worst_translations_are_known_by_their_own_chrf() -> None:
    scores = translation.TranslationScores(ENGLISH, REFERENCES, "en")
    own = [CHRF().sentence_score(text, wanted).score for text, wanted in zip(ENGLISH, REFERENCES, strict=True)]
    assert scores.each() == own
    assert own[2] < own[1] < own[0]


def test_a_translation_that_says_nothing_is_worth_nothing() -> None:
    figures = translation.measure(["", ""], [["one"], ["two"]], "en")
    assert (figures.bleu, figures.length_ratio) == (0.0, 0.0)
    assert figures.chrf == pytest.approx(0)


@pytest.mark.parametrize("references", [[], [["one"], []]])
def test_a_translation_without_a_reference_is_an_error(references: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="2 translations"):
        translation.measure(["one", "two"], references, "en")


PAIRS = [
    ("The quick brown foxes jumped over the lazy dogs.", "A quick brown fox jumps over lazy dogs, happily!"),
    ("Flying planes; hopping rabbits, relational agreements", "He flies a plane. Rabbits hop. Relations agreed."),
    ("same words other order", "order other words same"),
    ("It's 3.5% of 2,000 co-operatives", "3 5 of 2 000 cooperatives it s"),
    ("", "something"),
    ("one", ""),
    ("naïve café", "naive cafe"),
    ("a b c d a b c d a b c", "b c d a a b d c a"),
]


@pytest.mark.parametrize("stemming", [False, True])
@pytest.mark.parametrize(("summary", "reference"), PAIRS)
def test_english_rouge_is_rouge_scores(summary: str, reference: str, stemming: bool) -> None:
    expected = RougeScorer(list(rouge.NAMES), use_stemmer=stemming).score(reference, summary)
    figures = rouge.measure([summary], [[reference]], "en", stemming)
    for name in rouge.NAMES:
        assert getattr(figures, name) == pytest.approx(expected[name].fmeasure, abs=1e-9), name


@given(st.text("abc dé.1", max_size=60), st.text("abc dé.1", max_size=60))
@settings(max_examples=60, deadline=None)
def test_rouge_of_any_text_is_rouge_scores(summary: str, reference: str) -> None:
    expected = RougeScorer(list(rouge.NAMES), use_stemmer=True).score(reference, summary)
    figures = rouge.measure([summary], [[reference]])
    assert [getattr(figures, n) for n in rouge.NAMES] == pytest.approx([expected[n].fmeasure for n in rouge.NAMES])


def test_the_best_of_several_references_counts_for_each_measure() -> None:
    figures = rouge.measure(["a b c d"], [["d c b a", "a b x y"]], "en", stemming=False)
    assert (figures.rouge1, figures.rouge2, figures.rougeL) == pytest.approx((1, 1 / 3, 1 / 2))


def test_chinese_rouge_counts_characters_and_foreign_words() -> None:
    # 我 喜 欢 python | 我 很 喜 欢 用 python: 4 of 4 and 6, pairs 喜欢, all 4 in order
    figures = rouge.measure(["我喜欢 Python。"], [["我很喜欢用 python！"]], "zh")
    assert (figures.rouge1, figures.rouge2, figures.rougeL) == pytest.approx((0.8, 2 / 8, 0.8))


def test_other_languages_keep_their_letters() -> None:
    assert rouge.measure(["schöne Grüße"], [["Schöne Grüße"]], "de").rouge1 == 1
    assert rouge.measure(["добрый день"], [["день добрый"]], "ru").rouge1 == 1


def test_a_set_has_the_mean_of_its_summaries() -> None:
    assert rouge.measure(["a b", "c"], [["a b"], ["d"]]).rouge1 == pytest.approx(0.5)
    assert rouge.measure([], []).n == 0


# A word for each rule of the algorithm, and for each exception to one.
WORDS = """caresses ponies ties caress cats dies died spied feed agreed plastered bled motoring sing conflated troubled
sized hopping tanned falling hissing fizzed failing filing happy sky skies enjoy spy relational conditional rational
valenci hesitanci digitizer conformabli radically differently vilely analogously vietnamization predication operator
feudalism decisiveness hopefulness callousness formality sensitivity sensibility totally apology theology carefully
triplicate formative formalize electricity electrical hopeful goodness revival allowance inference airliner gyroscopic
adjustable defensible irritant replacement adjustment dependent adoption homologou communism activate angularity
homologous effective bowdlerize probate rate cease controll roll innings outing news proceed exceed succeed dying
lying tying howe syzygy yyyy 1984 co2 owed ion onion million"""


def test_stems_are_nltks() -> None:
    words = WORDS.split()
    assert [stem(word) for word in words] == [PorterStemmer().stem(word) for word in words]


@given(
    st.lists(st.sampled_from([*"aeiouybtlsz", "ational", "ing", "ed", "alli", "ies", "e", "ion", "ness"]), max_size=9)
)
@settings(max_examples=200, deadline=None)
def test_stems_of_what_is_no_word_are_nltks(pieces: list[str]) -> None:
    word = "".join(pieces)
    assert stem(word) == PorterStemmer().stem(word)
