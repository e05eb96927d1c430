"""Encoder-decoders of every translation family against transformers' own calls, one text at a time as their model cards
say."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_translators as translators
import transformers
from tiny_translators import LINES, TEXTS

from lmcli import engine
from lmcli.engine.files import read_json
from lmcli.engine.json_tokenizer import JsonTokenizer
from lmcli.engine.rewriting import RewritingEngine
from lmcli.engine.seq2seq_engine import EncoderDecoderRewriter
from lmcli.errors import InputTooLong, UsageError
from lmcli.types import Chunk, Done, LoadOptions, SamplingParams

BRIEF = SamplingParams(max_tokens=12)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="session")
def unigram(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return translators.train_pieces(tmp_path_factory.mktemp("unigram"))


@pytest.fixture(scope="session")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return translators.train_pieces(tmp_path_factory.mktemp("bpe"), "bpe")


@pytest.fixture(scope="session")
def t5_pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return translators.train_pieces(tmp_path_factory.mktemp("t5"), pad_id=0, eos_id=1, unk_id=2, bos_id=-1)


def load(folder: Path) -> RewritingEngine:
    notices: list[Any] = []
    checkpoint = tiny.checkpoint(folder, tiny.read_model_type(folder), "seq2seq")
    loaded = engine.load(checkpoint, LoadOptions("cpu", "float32"), notices.append)
    assert isinstance(loaded, RewritingEngine)
    assert isinstance(loaded.rewriter, EncoderDecoderRewriter), notices
    return loaded


def rewritten(
    ours: RewritingEngine, texts: list[str], source: str | None = "en", target: str | None = "de",
    params: SamplingParams = BRIEF,
) -> list[str]:  # fmt: skip
    *chunks, done = ours.rewrite(texts, params, source, target)
    assert isinstance(done, Done)
    return [chunk.text for chunk in chunks if isinstance(chunk, Chunk)]


def by_the_card(
    folder: Path, texts: list[str], prefix: str = "", language: str | None = None, source: str | None = None,
    skip: int = 0, **options: Any,
) -> list[str]:  # fmt: skip
    """transformers alone, as a model card has it: tokenize, generate, decode, one text after the other.

    A text that is cut is not made to end in a forced token, which would replace a true one.
    """
    tokenizer = open_tokenizer(folder, **({"src_lang": source} if source else {}))
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    if language:
        options["forced_bos_token_id"] = tokenizer.convert_tokens_to_ids(language)
    outputs = []
    for text in texts:
        inputs = tokenizer(prefix + text, return_tensors="pt")
        row = model.generate(
            **inputs, **({"max_new_tokens": 12, "do_sample": False, "forced_eos_token_id": None} | options)
        )[0]
        outputs.append(tokenizer.decode(row[skip:], skip_special_tokens=True).strip())
    assert len(set(outputs)) > 2, "a checkpoint that says the same to all proves nothing"
    return outputs


def open_tokenizer(folder: Path, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")  # It would normalize nothing here.
        return transformers.AutoTokenizer.from_pretrained(folder, **options)


@pytest.mark.parametrize(("source", "target"), [("en", "de"), ("eng", "deu")])
@pytest.mark.parametrize("num_beams", [1, 4])
def test_a_marian_pair_translates_as_its_card_says(
    source: str, target: str, num_beams: int, unigram: Path, tmp_path: Path
) -> None:
    translators.marian(tmp_path, unigram, source, target, num_beams=num_beams)
    ours = load(tmp_path)
    assert ours.languages() == ("de",)
    assert rewritten(ours, TEXTS) == by_the_card(tmp_path, TEXTS)


def test_a_marian_with_marks_is_told_its_language_by_a_mark(unigram: Path, tmp_path: Path) -> None:
    marks = (">>cmn_Hans<<", ">>cmn_Hant<<", ">>yue_Hans<<")
    translators.marian(tmp_path, unigram, "eng", "zho", marks, eos_bias=7.0)
    ours = load(tmp_path)
    assert ours.languages() == ("zh", "zh-Hant")
    simplified, traditional = (rewritten(ours, TEXTS, "en", code) for code in ours.languages())
    assert simplified == by_the_card(tmp_path, TEXTS, ">>cmn_Hans<< ")
    assert traditional == by_the_card(tmp_path, TEXTS, ">>cmn_Hant<< ")
    assert simplified != traditional


@pytest.mark.parametrize("method", ["bpe", "unigram"])
@pytest.mark.parametrize("num_beams", [1, 4])
def test_a_marian_with_a_tokenizer_json_translates_both_ways(method: Any, num_beams: int, tmp_path: Path) -> None:
    # Random weights would say one token over and over.
    translators.joint_marian(tmp_path, method, num_beams=num_beams, no_repeat_ngram_size=2)
    ours = load(tmp_path)
    assert set(ours.languages()) == {"en", "zh"}
    sources = {"zh": TEXTS, "en": [*LINES[-4:], "她每天晚上看书。", ">>zh<<</s>龘 😀"]}
    for target, texts in sources.items():
        source = "en" if target == "zh" else "zh"
        # A mark that a text quotes is no mark.
        plain = [text.replace(">>", "> >").replace("</", "< /") for text in texts]
        assert rewritten(ours, texts, source, target) == by_the_card(tmp_path, plain, f">>{target}<< ")


@pytest.mark.parametrize("setting", [{"add_eos_token": True}, {"extra_special_tokens": [">>fr<<"]}])
def test_a_tokenizer_json_whose_settings_ask_for_more_is_read_by_transformers(
    setting: dict[str, Any], tmp_path: Path
) -> None:
    translators.joint_marian(tmp_path, "bpe")
    assert isinstance(load(tmp_path).tokenizer, JsonTokenizer)
    settings = read_json(tmp_path / "tokenizer_config.json")
    translators.write(tmp_path / "tokenizer_config.json", settings | setting)
    assert not isinstance(load(tmp_path).tokenizer, JsonTokenizer)


def test_a_mark_is_found_in_two_letters_three_letters_and_for_a_macrolanguage(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "mul", (">>deu<<", ">>fr<<", ">>ara<<", ">>lav<<", ">>pes_Thaa<<"))
    assert load(tmp_path).languages() == ("de", "fr", "lv", "ar")


def test_nllb_is_told_both_languages_by_their_flores_codes(bpe: Path, tmp_path: Path) -> None:
    translators.nllb(tmp_path, bpe)
    ours = load(tmp_path)
    assert {"en", "zh", "zh-Hant", "de", "km"} <= set(ours.languages())
    for source, target, codes in [("en", "de", ("eng_Latn", "deu_Latn")), ("fr", "zh", ("fra_Latn", "zho_Hans"))]:
        expected = by_the_card(tmp_path, TEXTS, source=codes[0], language=codes[1])
        assert rewritten(ours, TEXTS, source, target) == expected


def test_m2m100_is_told_both_languages_by_their_iso_codes(bpe: Path, tmp_path: Path) -> None:
    translators.m2m100(tmp_path, bpe, num_beams=3)
    ours = load(tmp_path)
    assert "zh" in ours.languages()
    assert "zh-Hant" not in ours.languages()
    for source, target in [("en", "de"), ("ja", "zh")]:
        # This tokenizer, saved anew, does not know that `__de__` is special: it is no part of the answer.
        expected = by_the_card(tmp_path, TEXTS, source=source, language=f"__{target}__", skip=2)
        assert rewritten(ours, TEXTS, source, target) == expected


def test_mbart50_is_told_both_languages_by_their_locales(unigram: Path, tmp_path: Path) -> None:
    translators.mbart50(tmp_path, unigram, num_beams=2)
    ours = load(tmp_path)
    assert "hu" not in ours.languages()
    for source, target, codes in [("en", "de", ("en_XX", "de_DE")), ("zh", "fr", ("zh_CN", "fr_XX"))]:
        expected = by_the_card(tmp_path, TEXTS, source=codes[0], language=codes[1])
        assert rewritten(ours, TEXTS, source, target) == expected


def test_t5_is_told_in_a_sentence_with_its_tasks_own_beams(t5_pieces: Path, tmp_path: Path) -> None:
    translators.t5(tmp_path, t5_pieces, translators.T5_TASKS)
    ours = load(tmp_path)
    assert ours.languages() == ("de", "fr")
    expected = by_the_card(tmp_path, TEXTS, "translate English to French: ", num_beams=2)
    assert rewritten(ours, TEXTS, "en", "fr") == expected


def test_t5_without_tasks_is_asked_in_the_same_words(t5_pieces: Path, tmp_path: Path) -> None:
    translators.t5(tmp_path, t5_pieces, None)
    ours = load(tmp_path)
    assert ours.languages() == ()
    assert rewritten(ours, TEXTS, "zh", "de") == by_the_card(tmp_path, TEXTS, "translate Chinese to German: ")


def test_t5_summarizes_as_its_config_says(t5_pieces: Path, tmp_path: Path) -> None:
    translators.t5(tmp_path, t5_pieces, translators.T5_TASKS)
    expected = by_the_card(
        tmp_path, TEXTS, "summarize: ", num_beams=2, min_length=4, max_length=12, no_repeat_ngram_size=3,
        max_new_tokens=None,
    )  # fmt: skip
    assert rewritten(load(tmp_path), TEXTS, None, None, SamplingParams()) == expected


def test_madlad_is_told_its_language_by_a_mark(tmp_path: Path) -> None:
    pieces = translators.train_pieces(
        tmp_path, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=["<2de>", "<2zh>"]
    )
    translators.t5(tmp_path, pieces, None)
    ours = load(tmp_path)
    assert ours.languages() == ("zh", "de")
    assert rewritten(ours, TEXTS, "en", "zh") == by_the_card(tmp_path, TEXTS, "<2zh> ")


def test_bart_summarizes_with_its_own_beams_and_lengths(tmp_path: Path) -> None:
    translators.bart(tmp_path, forced_eos_token_id=None)
    assert rewritten(load(tmp_path), TEXTS, None, None, SamplingParams()) == by_the_card(
        tmp_path, TEXTS, max_new_tokens=None
    )


def test_generation_settings_in_an_old_config_are_followed(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    expected = by_the_card(tmp_path, TEXTS, num_beams=3)
    (tmp_path / "generation_config.json").unlink()
    config = tiny.read(tmp_path / "config.json")
    settings = {
        "num_beams": 3,
        "max_length": 512,
        "bad_words_ids": [[config["pad_token_id"]]],
        "forced_eos_token_id": 0,
    }
    translators.write(tmp_path / "config.json", config | settings)
    assert rewritten(load(tmp_path), TEXTS) == expected


def test_many_texts_of_all_lengths_keep_their_order(unigram: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("lmcli.engine.rewriting._BATCH_TOKENS", 150)
    translators.marian(tmp_path, unigram, "en", "de")
    words = " ".join(TEXTS).split()
    texts = [" ".join(words[i % 3 : i % 3 + 1 + 4 * (i % 4)]) for i in range(140)]
    ours = load(tmp_path)
    alone = {text: rewritten(ours, [text])[0] for text in set(texts)}
    assert len(set(alone.values())) > 5
    assert rewritten(ours, texts) == [alone[text] for text in texts]


def test_the_first_lines_of_a_long_document_do_not_wait_for_the_last(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    ours = load(tmp_path)
    batches = []
    write = ours.rewriter.write
    ours.rewriter.write = lambda batch, *rest: batches.append(len(batch)) or write(batch, *rest)  # type: ignore[method-assign]
    events = ours.rewrite([TEXTS[0], *["Rain!"] * 400], SamplingParams(max_tokens=2), "en", "de")
    assert isinstance(next(events), Chunk)
    assert sum(batches) <= 128


def test_usage_counts_the_tokens_without_padding(unigram: Path, tmp_path: Path) -> None:
    model = translators.marian(tmp_path, unigram, "en", "de")
    ours = load(tmp_path)
    tokenizer = open_tokenizer(tmp_path)
    rows = [model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=12)[0, 1:] for text in TEXTS]
    assert len({len(row) for row in rows}) > 1
    *_, done = ours.rewrite(TEXTS, BRIEF, "en", "de")
    assert isinstance(done, Done)
    assert done.usage.prompt_tokens == sum(len(tokenizer(text)["input_ids"]) for text in TEXTS)
    assert done.usage.completion_tokens == sum(map(len, rows))
    assert done.usage.ttft_seconds > 0
    assert done.usage.decode_seconds > 0


def test_a_translation_cut_at_its_limit_says_length_and_a_whole_one_stop(unigram: Path, tmp_path: Path) -> None:
    model = translators.marian(
        tmp_path, unigram, "en", "de"
    )  # Its forced_eos_token_id would make a cut text look whole.
    ours = load(tmp_path)
    tokenizer, reasons = open_tokenizer(tmp_path), {}
    for text in TEXTS:
        *_, done = ours.rewrite([text], SamplingParams(max_tokens=4), "en", "de")
        row = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=60)[0, 1:]
        assert isinstance(done, Done)
        reasons[text] = done.finish_reason
        assert done.finish_reason == ("stop" if 0 in row[:4].tolist() else "length")
    assert set(reasons.values()) == {"stop", "length"}
    *_, done = ours.rewrite(TEXTS, SamplingParams(max_tokens=4), "en", "de")
    assert done == Done("length", done.usage)


def test_a_checkpoints_short_limit_does_not_cut_a_translation(t5_pieces: Path, tmp_path: Path) -> None:
    translators.t5(tmp_path, t5_pieces, None, max_length=5)
    *_, done = load(tmp_path).rewrite(TEXTS, SamplingParams(), "en", "de")
    assert isinstance(done, Done)
    assert done.usage.completion_tokens > 5 * len(TEXTS)


def test_a_text_of_the_context_length_works_and_one_more_token_is_too_long(bpe: Path, tmp_path: Path) -> None:
    translators.nllb(tmp_path, bpe)
    ours = load(tmp_path)
    assert ours.context_length == 64
    text = "cat " * 100
    fitting = next(text[:n] for n in range(len(text), 0, -1) if ours.count(text[:n]) == 64)
    longer = next(text[:n] for n in range(len(text)) if ours.count(text[:n]) == 65)
    assert len(rewritten(ours, [fitting], params=SamplingParams(max_tokens=2))) == 1
    with pytest.raises(InputTooLong, match="65 tokens, more than the 64"):
        ours.rewrite(["Rain!", longer], BRIEF, "en", "de")


def test_what_fits_the_context_fits_with_the_words_before_it(t5_pieces: Path, tmp_path: Path) -> None:
    translators.t5(tmp_path, t5_pieces, translators.T5_TASKS)
    ours = load(tmp_path)
    text = "cat " * 100
    fitting = next(text[:n] for n in range(len(text), 0, -1) if ours.count(text[:n]) == ours.context_length)
    for source, target in [("en", "fr"), (None, None)]:
        rewritten(ours, [fitting], source, target, SamplingParams(max_tokens=2))


@pytest.mark.parametrize("family", ["nllb", "m2m100", "mbart50", "marian", "t5"])
def test_a_special_token_that_a_text_quotes_does_not_end_it(
    family: str, unigram: Path, bpe: Path, t5_pieces: Path, tmp_path: Path
) -> None:
    build(family, tmp_path, unigram, bpe, t5_pieces)
    ours = load(tmp_path)
    eos = ours.tokenizer.eos_token_id
    before = ours.count("The cat")
    text = "The cat </s> sat <pad> behind <unk> the dog"
    tokens = inputs_of(ours, text)
    assert tokens.count(eos) == 1
    assert before + 10 < ours.count(text) <= len(tokens)


@pytest.mark.parametrize("family", ["m2m100", "mbart50", "marian", "t5"])
def test_an_unknown_target_is_refused_with_what_the_checkpoint_knows(
    family: str, unigram: Path, bpe: Path, t5_pieces: Path, tmp_path: Path
) -> None:
    build(family, tmp_path, unigram, bpe, t5_pieces)
    unknown = {"m2m100": "zh-Hant", "mbart50": "hu"}.get(family, "ja")
    with pytest.raises(UsageError, match=f"{tmp_path.name} does not translate into") as error:
        load(tmp_path).rewrite(TEXTS, BRIEF, "en", unknown)
    assert error.value.hint is not None
    assert error.value.hint.startswith("it knows")
    assert "de" in error.value.hint


@pytest.mark.parametrize("family", ["marian", "marks", "mbart50", "t5"])
def test_a_source_it_was_not_made_for_is_refused(
    family: str, unigram: Path, bpe: Path, t5_pieces: Path, tmp_path: Path
) -> None:
    build(family, tmp_path, unigram, bpe, t5_pieces)
    with pytest.raises(UsageError, match="does not translate from Hungarian into German") as error:
        load(tmp_path).rewrite(TEXTS, BRIEF, "hu", "de")
    assert error.value.hint is not None
    assert "en" in error.value.hint


@pytest.mark.parametrize("family", ["m2m100", "mbart50", "zho"])
def test_traditional_chinese_is_a_source_for_a_checkpoint_from_chinese(
    family: str, unigram: Path, bpe: Path, t5_pieces: Path, tmp_path: Path
) -> None:
    build(family, tmp_path, unigram, bpe, t5_pieces)
    ours = load(tmp_path)
    assert rewritten(ours, TEXTS, "zh", "en") == rewritten(ours, TEXTS, "zh-Hant", "en")


def test_a_summarizer_does_not_translate(tmp_path: Path) -> None:
    translators.bart(tmp_path)
    with pytest.raises(UsageError, match="does not translate"):
        load(tmp_path).rewrite(TEXTS, BRIEF, "en", "de")


def test_greedy_is_greedy_whatever_the_checkpoint_samples_by_default(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de", do_sample=True, temperature=5.0, num_beams=1)
    assert rewritten(load(tmp_path), TEXTS) == by_the_card(tmp_path, TEXTS)


def test_the_same_seed_draws_the_same_text_and_another_seed_another(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    ours = load(tmp_path)
    first, again, other = (
        rewritten(ours, TEXTS, params=SamplingParams(max_tokens=12, temperature=3.0, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_no_texts_are_no_work(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    assert [type(event) for event in load(tmp_path).rewrite([], BRIEF, "en", "de")] == [Done]


def build(family: str, folder: Path, unigram: Path, bpe: Path, t5_pieces: Path) -> Any:
    match family:
        case "nllb":
            return translators.nllb(folder, bpe)
        case "m2m100":
            return translators.m2m100(folder, bpe)
        case "mbart50":
            return translators.mbart50(folder, unigram)
        case "t5":
            return translators.t5(folder, t5_pieces, translators.T5_TASKS)
        case "zho":
            return translators.marian(folder, unigram, "zho", "eng")
        case "marks":
            return translators.marian(folder, unigram, "eng", "mul", (">>deu<<", ">>fra<<"))
    return translators.marian(folder, unigram, "en", "de")


def inputs_of(ours: RewritingEngine, text: str) -> list[int]:
    """The tokens that reach the model for `text`."""
    seen: list[list[int]] = []
    write = ours.rewriter.write

    def spy(batch: list[list[int]], *rest: Any) -> Any:
        seen.extend(batch)
        return write(batch, *rest)

    ours.rewriter.write = spy  # type: ignore[method-assign]
    list(ours.rewrite([text], SamplingParams(max_tokens=2)))
    return seen[0]
