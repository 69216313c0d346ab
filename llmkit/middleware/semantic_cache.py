"""Answers that are given again to questions that mean the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from llmkit.cache.layer import CacheOptions, CachingLayer
from llmkit.cache.semantic.agreement import Agreement, agreement, say_the_same
from llmkit.cache.semantic.similar import Settings, SimilarAnswers
from llmkit.cache.semantic.thresholds import threshold_for
from llmkit.cache.semantic.vectors import Embed
from llmkit.cache.store import CacheStore
from llmkit.cache.vectors import NumpyIndex
from llmkit.cache.vectors.index import VectorIndex
from llmkit.figures import check_figures

_MODEL = "text-embedding-3-small"
_LONGEST_SECRET = 64
"""Bytes of a key of blake2b."""


class SemanticCache(CachingLayer):
    """A `Cache` that also answers a question by the answer to one that means the same.

    Compared are the embeddings of the last user text, where everything else is equal: the model, the system prompt and
    the messages before, tools, formats, sampling, and the tags in `per`. An answer is given when the cosine is at
    least `threshold` and no guard objects: other numbers, names, quotes or units, a negation, another order, another
    question word, the opposite. It may still be wrong: read docs/semantic_cache.md, and begin with `shadow=True`, which
    looks, gives nothing, and compares the answer that it would have given with the API's: see `agreement()`.

    `embed` makes a vector of a text, sync or async; None stands for the client's own embeddings, by `embedding_model`,
    which names the model in any case: vectors of another one are not compared. `threshold` is that of the model as far
    as it was measured, else 0.95. `index` finds vectors: `NumpyIndex()`, `UsearchIndex()`, or `RedisIndex(url)`
    (Redis 8), which all processes share; the others follow the store every 5 seconds.

    The record's `similar` has the nearest question's key, score and objection; with `explain=True` the text of each
    question is kept, and is there, too. Otherwise only a fingerprint of hashes is; with a `secret`, the same in all
    processes, nobody else can test it for a text. `agree` says whether two answers, in shadow mode, say the same.

    Streams, single-flight and all the other arguments are those of `Cache`; layers that count calls go below, for the
    embedding passes them, too. Needs the extra:
    pip install "llmkit[semantic]".
    """

    def __init__(
        self,
        store: CacheStore | None = None,
        *,
        threshold: float | None = None,
        embedding_model: str = _MODEL,
        embed: Embed | None = None,
        index: VectorIndex | None = None,
        shadow: bool = False,
        explain: bool = False,
        secret: bytes = b"",
        agree: Callable[[str, str], bool] = say_the_same,
        **options: Unpack[CacheOptions],
    ) -> None:
        threshold = threshold_for(embedding_model) if threshold is None else threshold
        check_figures(threshold=threshold)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold!r} must be above 0 and at most 1; 0.95 is a cautious one")
        _check(embed=embed, agree=agree, secret=secret, index=index)
        super().__init__(store, **options)
        settings = Settings(
            threshold=threshold,
            embedding_model=embedding_model,
            embed=embed,
            shadow=shadow,
            explain=explain,
            secret=secret,
            agree=agree,
        )
        index = NumpyIndex() if index is None else index
        if index.shared and not self.store.blocks:
            raise ValueError(
                f"index is a {type(index).__qualname__}, which other processes share, and the store is not: "
                "give a RedisStore, too"
            )
        self._similar = SimilarAnswers(self._shelf, self._keys, index, settings)
        self._asking.similar = self._similar

    def _forget(self, keys: list[str]) -> None:
        self._similar.forget(keys)

    def agreement(self) -> list[Agreement]:
        """How often the answers agreed in shadow mode, by score, the highest first; may block."""
        return list(agreement(self._shelf.all_counts()))


def _check(*, embed: object, agree: object, secret: object, index: object) -> None:
    """Say now what would fail when an answer has been paid for."""
    if embed is not None and not callable(embed):
        raise TypeError(f"embed={embed!r} is no function; give one of a text, or embedding_model=")
    if not callable(agree):
        raise TypeError(f"agree={agree!r} is no function; give one of two answers")
    if not isinstance(secret, bytes) or len(secret) > _LONGEST_SECRET:
        kind = f"{len(secret)} bytes" if isinstance(secret, bytes) else f"a {type(secret).__qualname__}"
        raise ValueError(f"secret is {kind}; give up to {_LONGEST_SECRET} bytes, such as secrets.token_bytes(32)")
    if index is not None and (isinstance(index, type) or not callable(getattr(index, "search", None))):
        raise TypeError(f"index={index!r} is no index; give NumpyIndex(), UsearchIndex() or RedisIndex(url)")
