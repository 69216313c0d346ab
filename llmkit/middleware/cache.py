"""Answers that are not asked for twice."""

from __future__ import annotations

from llmkit.cache.layer import CachingLayer


class Cache(CachingLayer):
    """Answers a repeated request from `store`, whichever method of the SDK made it first and whichever asks now.

    Equal requests have the same parameters, but for those that do not shape an answer (`stream`, `user`, `metadata`,
    ...), the same URL and the same headers, but for credentials. `per` names tags (`llmkit.tags`) whose values must be
    equal, too, such as "tenant"; `include` names parameters to count in, such as "user", and `ignore` parameters and
    headers to leave out. `namespace` separates caches that share a store.

    Only whole and successful answers are kept: none that is cut, filtered, refused or empty; with `tool_calls=True`
    also those that call tools. Requests that ask for variety (a `temperature` above 0 without a `seed`) are not looked
    up, unless `sampled=True`, nor are those that change something at the server (`conversation`, `background`).

    `ttl` is in seconds, None for ever, or a function of the request, which may return 0 to keep nothing. `with
    caching(ttl=60)`, `caching(read=False)` and `caching(write=False)` say it for the calls inside.

    Of identical calls that are made at the same time one asks, in all processes that share an SQLite or Redis store,
    and the others wait for its answer: for `wait` seconds or the call's own timeout, then they ask, too. When it is
    cancelled or fails, the next one asks; when the API fails that, too, those with the same headers and tags get its
    error.

    `on_error="open"` sends calls on when the store fails, "closed" raises its error. Put it above `Budget` and
    `Context`, below `UsageLog`. docs/caching.md has the rest.
    """
