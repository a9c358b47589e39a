"""Scripts and languages, detected by letters and common words."""

import pytest

from ftops.data.words import LanguageCounter, WordCounter, count_scripts, guess_language


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("plain, 42!", {"Latin": 5}),
        ("naïve straße", {"Latin": 11}),
        ("Привет world", {"Cyrillic": 6, "Latin": 5}),
        ("世界のデータ", {"Han": 2, "Kana": 4}),
        ("안녕 שלום مرحبا", {"Hangul": 2, "Hebrew": 4, "Arabic": 5}),
        ("42 🎉", {}),
    ],
)
def test_letters_are_counted_by_script(text: str, scripts: dict[str, int]) -> None:
    assert dict(count_scripts(text)) == scripts


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where do I find the keys of the house?", "English"),
        ("Wo ist der Schlüssel und was ist mit dem Haus?", "German"),
        ("Où est la clé de la maison et qui est dans le jardin ?", "French"),
        ("¿Dónde está la llave de la casa y qué hay en el jardín?", "Spanish"),
        ("Где ключ от дома?", "Russian"),
        ("Де ключ від будинку? Він є тут", "Ukrainian"),
        ("钥匙在哪里", "Chinese"),
        ("鍵はどこにありますか", "Japanese"),
        ("열쇠는 어디에 있습니까", "Korean"),
        ("x = 42", ""),
        ("", ""),
    ],
)
def test_languages_are_guessed(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_rows_are_added_up_by_language() -> None:
    languages = LanguageCounter()
    for text in ("where is the key of it", "where is the house", "42"):
        languages.add(text)
    assert dict(languages.languages) == {"English": 2, "": 1}
    assert languages.scripts["Latin"] == 32


def test_words_are_counted_in_lower_case_and_chinese_by_character() -> None:
    words = WordCounter()
    words.add("The key, THE key's 42 世界")
    assert dict(words.counts) == {"the": 2, "key": 1, "key's": 1, "世": 1, "界": 1}
    assert (words.total, words.once) == (6, 4)
