"""Which language a sentence is written in, where the optional library for it is installed."""

from __future__ import annotations

import re
from typing import Any

from seq2seq.errors import ConfigError

_FAMILIES = {"nb": "no", "nn": "no", "iw": "he", "fil": "tl", "bs": "hr", "sr": "hr", "cnr": "hr", "id": "ms"}
"""Codes that stand for one language, or for languages too near to be told apart in a sentence."""


class LanguageIdentifier:
    """Asks ``py3langid`` (Lui and Baldwin, 2012), which brings its model of 97 languages along.

    Raises:
        ConfigError: the library is not installed.
    """

    def __init__(self) -> None:
        try:
            from py3langid import langid  # optional, and a second to load
        except ImportError:
            raise ConfigError(
                "`cleaning.language_confidence` must be null where py3langid is not installed; "
                "install it with `pip install -e '.[language]'`"
            ) from None
        self._model: Any = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
        self._known = {_family(code) for code in self._model.nb_classes}

    def is_another(self, text: str, language: str, confidence: float) -> bool:
        """Return whether ``text`` is taken for another language than ``language`` with at least this probability.

        Nothing is said about a language that the library does not know.
        """
        family = _family(language)
        if family not in self._known:
            return False
        found, probability = self._model.classify(text)
        return bool(_family(found) != family and probability >= confidence)


def _family(language: str) -> str:
    code = re.split("[-_]", language)[0].lower()
    return _FAMILIES.get(code, code)
