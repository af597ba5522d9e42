"""What is measured while a model trains: loss and BLEU on the validation split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from seq2seq.data.batching import batches_in_order, make_batch
from seq2seq.data.store import PreparedData
from seq2seq.evaluation.metrics import corpus_bleu
from seq2seq.objectives import Objective
from seq2seq.runtime import autocast
from seq2seq.search import SearchConfig
from seq2seq.training import TrainerConfig, Validation
from seq2seq.translate import Translator


class Validator:
    """Measures a model on the validation split, translating by the same path as ``evaluate``.

    Args:
        translator: the model in training, with its tokenizers.
        objective: gives the loss.
        data: has the split, as ids and as raw text.
        config: how much to translate and show.
        search: how to translate; its beam is replaced by ``trainer.validation_beam``.
        precision: of matrix products in the loss.
    """

    def __init__(
        self,
        translator: Translator,
        objective: Objective,
        data: PreparedData,
        config: TrainerConfig,
        search: SearchConfig,
        precision: torch.dtype,
    ) -> None:
        self.translator, self.objective, self.precision = translator, objective, precision
        self.source, self.target = data.ids("validation")
        self.sentences, self.references = (side[: config.validation_sentences] for side in data.text("validation"))
        coverage = search.coverage_penalty if config.validation_beam > 1 else 0.0  # greedy search knows none
        self.search = replace(search, beam_size=config.validation_beam, n_best=1, coverage_penalty=coverage)
        self.max_tokens = config.max_tokens
        self.samples = config.samples
        self.language = data.target

    @torch.no_grad()
    def __call__(self) -> Validation:
        """Measure the model as it is now; it is left in evaluation mode."""
        model = self.translator.model.eval()
        self.objective.eval()
        device = next(model.parameters()).device
        total, tokens = 0.0, 0
        for rows in batches_in_order(np.maximum(self.source.lengths, self.target.lengths) + 1, self.max_tokens):
            batch = make_batch(self.source, self.target, rows)
            with autocast(device, self.precision):
                total += float(self.objective(model, batch.to(device)).nll)
            tokens += batch.target_tokens
        self.objective.train()
        bleu: float | None = None
        samples: tuple[tuple[str, str, str], ...] = ()
        if self.sentences:
            translations = self.translator.translate(self.sentences, self.search)
            bleu = corpus_bleu(translations, self.references, target_language=self.language)
            shown = range(0, len(translations), max(1, len(translations) // max(1, self.samples)))[: self.samples]
            samples = tuple((self.sentences[i], self.references[i], translations[i]) for i in shown)
        return Validation(total / max(1, tokens), bleu, samples)
