"""Words of translated lines, linked to those of their sources by attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seq2seq.data.alignment import Link, format_links, words_of
from seq2seq.evaluation.attention import attention_links
from seq2seq.translation.parts import Part
from seq2seq.translation.splitting import separators
from seq2seq.translation.translator import Translator, evaluating


def align(translator: Translator, found: Sequence[Sequence[Part]], *, max_tokens: int) -> Iterator[list[str]]:
    """Give, for each line, the links of each of its translations, as one line in Pharaoh format.

    The models read the translations again as texts, so that words are those between spaces. Of a line in several
    parts, links never lead from one part to another.

    Args:
        translator: the model or the ensemble.
        found: the translated lines.
        max_tokens: pieces in one batch, padding included, on the longer side.
    """
    pairs = [(part.ids, one.text) for parts in found for part in parts for one in part.found]
    targets = translator.target_tokenizer.encode([text for _, text in pairs])
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    sources = [ids for ids, _ in pairs]
    with evaluating(translator.models):
        links = iter(attention_links(translator.models, *tokenizers, sources, targets, max_tokens=max_tokens))
    for parts in found:
        of_parts = [[next(links) for _ in part.found] for part in parts]
        yield [format_links(each) for each in _links_of_line(parts, of_parts)] if parts else [""]


def _links_of_line(parts: Sequence[Part], links: Sequence[Sequence[list[Link]]]) -> Iterator[list[Link]]:
    """Give the links of each translation of a line for those of its parts, whose words are counted from 0 each."""
    for rank in range(min(len(part.found) for part in parts)):
        texts = [part.found[rank].text for part in parts]
        shifted: list[Link] = []
        words = [0, 0]
        for part, of_part, text, between in zip(parts, links, texts, separators(texts), strict=True):
            # A part that begins within a word goes on with it.
            source = words[0] - (part.within_word and words[0] > 0)
            target = words[1] - (text != "" and not between and words[1] > 0)
            shifted += [Link(link.source + source, link.target + target) for link in of_part[rank]]
            words = [source + len(words_of(part.text)), target + len(words_of(text))]
        yield sorted(set(shifted))
