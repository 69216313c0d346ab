"""The figures behind `llmkit.tokens.models`, one line a model. In tokens.

Limits are those of OpenAI's own API. Azure's page is named where it agrees, because it gives the input limit apart.
Where two sources dispute a figure the smaller one stands and a comment says so. Shutdown dates are those in the
docstring of `openai.types.ChatModel` (openai 3.54.0); where it is silent, litellm's. No date: none was announced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Row = tuple[int, int | None, int, str | None, str]
"""Context window, input limit where it is smaller, most output tokens, shutdown date, key of `SOURCES`."""

SOURCES: Final[Mapping[str, tuple[str, str]]] = {
    "openai": ("OpenAI model page", "2026-11-20"),  # a stored copy (gpt-6.1-sol: its translation), read that day
    "azure": ("Azure OpenAI models page", "2026-06-11"),  # the page's own date
    "litellm": ("litellm 1.109.1 JSON", "2026-11-20"),  # installed that day
    "litellm+genai": ("litellm 1.109.1 JSON, window also in genai-prices 0.2.3", "2026-11-20"),
    "genai": ("genai-prices 0.2.3", "2026-11-10"),
    "modelsdev": ("models.dev", "2026-07-02"),
    "vercel": ("Vercel AI Gateway model page", "2026-11-20"),
    "litellm-2025-08": ("litellm 1.75.0 JSON", "2025-08"),  # for models newer lists have dropped
    "litellm-2025-02": ("litellm 1.60.0 JSON", "2025-02"),
}
"""Title and date of each source."""

# fmt: off
TABLE: Final[Mapping[str, Row]] = {
    # name: window, max input, max output, shutdown, source
    # GPT-6: nothing disputed; 922,000 = window - output
    # gpt-6.2-astra: input limit not on the page: that of gpt-6.1-sol
    "gpt-6.2-astra":                           (1_050_000, 922_000, 128_000, None,         "vercel"),
    # gpt-6.2-astra-law: named by the SDK (openai 3.54.0) without figures: those of gpt-6.2-astra
    "gpt-6.2-astra-law":                       (1_050_000, 922_000, 128_000, None,         "vercel"),
    "gpt-6.2-sol":                             (1_050_000, 922_000, 128_000, None,         "vercel"),
    "gpt-6.1-sol":                             (1_050_000, 922_000, 128_000, None,         "openai"),
    "gpt-6.1-terra":                           (1_050_000, 922_000, 128_000, None,         "litellm+genai"),
    "gpt-6-astra":                             (1_050_000, 922_000, 128_000, None,         "litellm+genai"),
    "gpt-6-sol":                               (1_050_000, 922_000, 128_000, None,         "litellm+genai"),
    "gpt-6-luna":                              (1_050_000, 922_000, 128_000, None,         "litellm+genai"),
    # gpt-6-astra-law: window not given: that of gpt-6-astra
    "gpt-6-astra-law":                         (1_050_000, 922_000, 128_000, None,         "litellm"),
    "gpt-6-rosalind":                          (1_050_000, 922_000, 128_000, None,         "litellm"),

    # GPT-5.6: a gateway's page gives Terra 272,000 output, all others 128,000
    "gpt-5.6":                                 (1_050_000, 922_000, 128_000, None,         "litellm+genai"),
    "gpt-5.6-sol":                             (1_050_000, 922_000, 128_000, None,         "litellm+genai"),
    "gpt-5.6-terra":                           (1_050_000, 922_000, 128_000, None,         "litellm+genai"),
    "gpt-5.6-luna":                            (1_050_000, 922_000, 128_000, None,         "litellm+genai"),
    # gpt-5.6-cyber: litellm: input 400,000 = window; here less the output, as for gpt-5
    "gpt-5.6-cyber":                           (400_000,   272_000, 128_000, None,         "litellm"),
    "gpt-daybreak-red-latest":                 (400_000,   272_000, 128_000, None,         "litellm"),
    "daybreak-red-latest":                     (400_000,   272_000, 128_000, None,         "litellm"),
    "gpt-daybreak-blue-latest":                (1_050_000, 922_000, 128_000, None,         "openai"),
    "daybreak-blue-latest":                    (1_050_000, 922_000, 128_000, None,         "openai"),

    # GPT-5.4, GPT-5.5: litellm has input 1,050,000 = window; genai-prices rounds the window of 5.5 to 1,000,000
    "gpt-5.5":                                 (1_050_000, 922_000, 128_000, None,         "azure"),
    "gpt-5.5-2026-04-23":                      (1_050_000, 922_000, 128_000, None,         "azure"),
    "gpt-5.5-pro":                             (1_050_000, 922_000, 128_000, None,         "modelsdev"),
    "gpt-5.5-pro-2026-04-23":                  (1_050_000, 922_000, 128_000, None,         "modelsdev"),
    "gpt-5.4":                                 (1_050_000, 922_000, 128_000, None,         "azure"),
    "gpt-5.4-2026-03-05":                      (1_050_000, 922_000, 128_000, None,         "azure"),
    "gpt-5.4-pro":                             (1_050_000, 922_000, 128_000, None,         "azure"),
    "gpt-5.4-pro-2026-03-05":                  (1_050_000, 922_000, 128_000, None,         "azure"),
    "gpt-5.4-mini":                            (400_000,   272_000, 128_000, None,         "azure"),
    "gpt-5.4-mini-2026-03-17":                 (400_000,   272_000, 128_000, None,         "azure"),
    "gpt-5.4-nano":                            (400_000,   272_000, 128_000, "2027-04-01", "azure"),
    "gpt-5.4-nano-2026-03-17":                 (400_000,   272_000, 128_000, "2027-04-01", "azure"),

    # GPT-5 to 5.3: the API refuses input above 272,000; litellm has input 400,000 for gpt-5.1-codex, -mini, -max
    "gpt-5.3-codex":                           (400_000,   272_000, 128_000, "2027-04-01", "azure"),
    "gpt-5.3-codex-spark":                     (128_000,   100_000, 32_000,  None,         "modelsdev"),
    "gpt-5.2":                                 (400_000,   272_000, 128_000, None,         "azure"),
    "gpt-5.2-2025-12-11":                      (400_000,   272_000, 128_000, None,         "azure"),
    "gpt-5.2-pro":                             (400_000,   272_000, 128_000, None,         "modelsdev"),
    "gpt-5.2-pro-2025-12-11":                  (400_000,   272_000, 128_000, None,         "modelsdev"),
    "gpt-5.2-codex":                           (400_000,   272_000, 128_000, "2026-07-23", "azure"),
    "gpt-5.1":                                 (400_000,   272_000, 128_000, "2027-04-01", "azure"),
    "gpt-5.1-2025-11-13":                      (400_000,   272_000, 128_000, "2027-04-01", "azure"),
    "gpt-5.1-codex":                           (400_000,   272_000, 128_000, "2026-07-23", "azure"),
    "gpt-5.1-codex-mini":                      (400_000,   272_000, 128_000, "2026-07-23", "azure"),
    "gpt-5.1-codex-max":                       (400_000,   272_000, 128_000, "2026-07-23", "azure"),
    "gpt-5":                                   (400_000,   272_000, 128_000, "2026-12-11", "azure"),
    "gpt-5-2025-08-07":                        (400_000,   272_000, 128_000, "2026-12-11", "azure"),
    "gpt-5-mini":                              (400_000,   272_000, 128_000, "2026-12-11", "azure"),
    "gpt-5-mini-2025-08-07":                   (400_000,   272_000, 128_000, "2026-12-11", "azure"),
    "gpt-5-nano":                              (400_000,   272_000, 128_000, "2026-12-11", "azure"),
    "gpt-5-nano-2025-08-07":                   (400_000,   272_000, 128_000, "2026-12-11", "azure"),
    # gpt-5-pro: output: OpenAI's page, litellm and models.dev 272,000
    "gpt-5-pro":                               (400_000,   272_000, 128_000, "2026-12-11", "azure"),
    "gpt-5-pro-2025-10-06":                    (400_000,   272_000, 128_000, "2026-12-11", "azure"),
    "gpt-5-codex":                             (400_000,   272_000, 128_000, "2026-07-23", "azure"),
    # gpt-5-search-api: window not given: that of gpt-5
    "gpt-5-search-api":                        (400_000,   272_000, 128_000, None,         "litellm"),
    "gpt-5-search-api-2025-10-14":             (400_000,   272_000, 128_000, None,         "litellm"),

    # Chat variants: Azure gives input 111,616 = window - output, litellm 128,000
    # chat-latest: litellm and models.dev: 400,000 window, 128,000 output
    "chat-latest":                             (128_000,   111_616, 16_384,  None,         "azure"),
    "gpt-chat-latest":                         (128_000,   111_616, 16_384,  None,         "azure"),
    "gpt-5.3-chat-latest":                     (128_000,   111_616, 16_384,  "2026-08-10", "azure"),
    "gpt-5.2-chat-latest":                     (128_000,   111_616, 16_384,  "2026-08-10", "azure"),
    "gpt-5.1-chat-latest":                     (128_000,   111_616, 16_384,  "2026-07-23", "azure"),
    # gpt-5-chat-latest: models.dev: 400,000 window, 128,000 output
    "gpt-5-chat-latest":                       (128_000,   None,    16_384,  "2026-07-23", "azure"),

    # o-series
    "o4-mini":                                 (200_000,   None,    100_000, "2026-10-23", "azure"),
    "o4-mini-2025-04-16":                      (200_000,   None,    100_000, "2026-10-23", "azure"),
    "o4-mini-deep-research":                   (200_000,   None,    100_000, "2026-07-23", "litellm+genai"),
    "o4-mini-deep-research-2025-06-26":        (200_000,   None,    100_000, "2026-07-23", "litellm+genai"),
    "codex-mini-latest":                       (200_000,   None,    100_000, "2026-02-12", "azure"),
    "o3":                                      (200_000,   None,    100_000, "2026-12-11", "azure"),
    "o3-2025-04-16":                           (200_000,   None,    100_000, "2026-12-11", "azure"),
    "o3-pro":                                  (200_000,   None,    100_000, "2026-12-11", "azure"),
    "o3-pro-2025-06-10":                       (200_000,   None,    100_000, "2026-12-11", "azure"),
    "o3-deep-research":                        (200_000,   None,    100_000, "2026-07-23", "litellm+genai"),
    "o3-deep-research-2025-06-26":             (200_000,   None,    100_000, "2026-07-23", "litellm+genai"),
    "o3-mini":                                 (200_000,   None,    100_000, "2026-10-23", "azure"),
    "o3-mini-2025-01-31":                      (200_000,   None,    100_000, "2026-10-23", "azure"),
    "o1":                                      (200_000,   None,    100_000, "2026-10-23", "azure"),
    "o1-2024-12-17":                           (200_000,   None,    100_000, "2026-10-23", "azure"),
    "o1-pro":                                  (200_000,   None,    100_000, "2026-10-23", "litellm+genai"),
    "o1-pro-2025-03-19":                       (200_000,   None,    100_000, "2026-10-23", "litellm+genai"),
    "o1-preview":                              (128_000,   None,    32_768,  "2025-07-28", "azure"),
    "o1-preview-2024-09-12":                   (128_000,   None,    32_768,  "2025-07-28", "azure"),
    "o1-mini":                                 (128_000,   None,    65_536,  "2025-10-27", "azure"),
    "o1-mini-2024-09-12":                      (128_000,   None,    65_536,  "2025-10-27", "azure"),
    "computer-use-preview":                    (8_192,     None,    1_024,   "2026-07-23", "azure"),
    "computer-use-preview-2025-03-11":         (8_192,     None,    1_024,   "2026-07-23", "azure"),

    # GPT-4.1 (an Azure standard deployment has 300,000), GPT-4.5: genai-prices rounds 4.1 to 1,000,000
    "gpt-4.5-preview":                         (128_000,   None,    16_384,  "2025-07-14", "litellm-2025-08"),
    "gpt-4.5-preview-2025-02-27":              (128_000,   None,    16_384,  "2025-07-14", "litellm-2025-08"),
    "gpt-4.1":                                 (1_047_576, None,    32_768,  "2027-01-14", "azure"),
    "gpt-4.1-2025-04-14":                      (1_047_576, None,    32_768,  "2027-01-14", "azure"),
    "gpt-4.1-mini":                            (1_047_576, None,    32_768,  "2027-01-14", "azure"),
    "gpt-4.1-mini-2025-04-14":                 (1_047_576, None,    32_768,  "2027-01-14", "azure"),
    "gpt-4.1-nano":                            (1_047_576, None,    32_768,  "2026-10-23", "azure"),
    "gpt-4.1-nano-2025-04-14":                 (1_047_576, None,    32_768,  "2026-10-23", "azure"),

    # GPT-4o
    "gpt-4o":                                  (128_000,   None,    16_384,  "2027-01-14", "azure"),
    "gpt-4o-2024-11-20":                       (128_000,   None,    16_384,  "2027-01-14", "azure"),
    "gpt-4o-2024-08-06":                       (128_000,   None,    16_384,  "2027-01-14", "azure"),
    "gpt-4o-2024-05-13":                       (128_000,   None,    4_096,   "2026-10-23", "azure"),
    "gpt-4o-mini":                             (128_000,   None,    16_384,  "2027-01-14", "azure"),
    "gpt-4o-mini-2024-07-18":                  (128_000,   None,    16_384,  "2027-01-14", "azure"),
    # chatgpt-4o-latest: output: OpenAI's page, in a copy, 16,384
    "chatgpt-4o-latest":                       (128_000,   None,    4_096,   "2026-02-17", "litellm-2025-08"),
    "gpt-4o-search-preview":                   (128_000,   None,    16_384,  "2026-07-23", "litellm+genai"),
    "gpt-4o-search-preview-2025-03-11":        (128_000,   None,    16_384,  "2026-07-23", "litellm+genai"),
    "gpt-4o-mini-search-preview":              (128_000,   None,    16_384,  "2026-07-23", "litellm"),
    "gpt-4o-mini-search-preview-2025-03-11":   (128_000,   None,    16_384,  "2026-07-23", "litellm"),

    # Audio in chat: litellm has 2027-01-20 for the dated gpt-4o-audio models, the SDK the day below
    "gpt-audio-1.5":                           (128_000,   None,    16_384,  None,         "azure"),
    "gpt-audio":                               (128_000,   None,    16_384,  "2027-01-20", "litellm+genai"),
    "gpt-audio-2025-08-28":                    (128_000,   None,    16_384,  "2027-01-20", "litellm+genai"),
    "gpt-audio-mini":                          (128_000,   None,    16_384,  "2027-01-20", "litellm+genai"),
    "gpt-audio-mini-2025-12-15":               (128_000,   None,    16_384,  "2027-01-20", "litellm+genai"),
    "gpt-audio-mini-2025-10-06":               (128_000,   None,    16_384,  "2026-07-23", "litellm+genai"),
    "gpt-4o-audio-preview":                    (128_000,   None,    16_384,  "2026-05-07", "litellm-2025-08"),
    "gpt-4o-audio-preview-2025-06-03":         (128_000,   None,    16_384,  "2026-05-07", "litellm-2025-08"),
    "gpt-4o-audio-preview-2024-12-17":         (128_000,   None,    16_384,  "2026-05-07", "litellm-2025-08"),
    "gpt-4o-audio-preview-2024-10-01":         (128_000,   None,    16_384,  "2025-10-10", "litellm-2025-08"),
    "gpt-4o-mini-audio-preview":               (128_000,   None,    16_384,  "2026-05-07", "litellm-2025-08"),
    "gpt-4o-mini-audio-preview-2024-12-17":    (128_000,   None,    16_384,  "2026-05-07", "litellm-2025-08"),

    # Realtime: for 2 and 2.1 OpenAI's page and litellm have 128,000 / 32,000, Azure the figures below
    "gpt-realtime-2.1":                        (32_000,    None,    4_096,   None,         "azure"),
    "gpt-realtime-2.1-mini":                   (32_000,    None,    4_096,   None,         "azure"),
    "gpt-realtime-2":                          (32_000,    None,    4_096,   None,         "azure"),
    "gpt-realtime-1.5":                        (32_000,    None,    4_096,   None,         "azure"),
    "gpt-realtime":                            (32_000,    None,    4_096,   "2027-01-20", "azure"),
    "gpt-realtime-2025-08-28":                 (32_000,    None,    4_096,   "2027-01-20", "azure"),
    "gpt-realtime-mini":                       (32_000,    None,    4_096,   "2027-01-20", "azure"),
    # gpt-realtime-mini-2025-12-15: litellm: 128,000 window
    "gpt-realtime-mini-2025-12-15":            (32_000,    None,    4_096,   "2027-01-20", "azure"),
    # gpt-realtime-mini-2025-10-06: shutdown date not found
    "gpt-realtime-mini-2025-10-06":            (32_000,    None,    4_096,   None,         "azure"),
    # gpt-4o-realtime-preview: litellm: 128,000; shutdown date not found
    "gpt-4o-realtime-preview":                 (32_000,    None,    4_096,   None,         "azure"),
    "gpt-4o-realtime-preview-2025-06-03":      (32_000,    None,    4_096,   None,         "azure"),
    "gpt-4o-realtime-preview-2024-12-17":      (16_000,    None,    4_096,   None,         "azure"),
    "gpt-4o-realtime-preview-2024-10-01":      (32_000,    None,    4_096,   None,         "genai"),
    # gpt-4o-mini-realtime-preview: litellm and Azure: 128,000
    "gpt-4o-mini-realtime-preview":            (16_000,    None,    4_096,   "2027-01-20", "openai"),
    "gpt-4o-mini-realtime-preview-2024-12-17": (16_000,    None,    4_096,   "2027-01-20", "openai"),

    # GPT-4: OpenAI's page and models.dev have 8,192 output for gpt-4, litellm 4,096; genai-prices rounds gpt-4-32k
    "gpt-4-turbo":                             (128_000,   None,    4_096,   "2026-10-23", "openai"),
    "gpt-4-turbo-2024-04-09":                  (128_000,   None,    4_096,   "2026-10-23", "openai"),
    "gpt-4-turbo-preview":                     (128_000,   None,    4_096,   "2026-03-26", "openai"),
    "gpt-4-0125-preview":                      (128_000,   None,    4_096,   "2026-03-26", "openai"),
    "gpt-4-1106-preview":                      (128_000,   None,    4_096,   "2026-10-23", "litellm+genai"),
    "gpt-4-vision-preview":                    (128_000,   None,    4_096,   "2024-12-06", "litellm-2025-02"),
    "gpt-4-1106-vision-preview":               (128_000,   None,    4_096,   "2024-12-06", "litellm-2025-02"),
    "gpt-4":                                   (8_192,     None,    4_096,   "2026-10-23", "litellm+genai"),
    "gpt-4-0613":                              (8_192,     None,    4_096,   "2026-10-23", "litellm+genai"),
    "gpt-4-0314":                              (8_192,     None,    4_096,   "2026-03-26", "litellm-2025-02"),
    "gpt-4-32k":                               (32_768,    None,    4_096,   "2025-06-06", "litellm-2025-02"),
    "gpt-4-32k-0613":                          (32_768,    None,    4_096,   "2025-06-06", "litellm-2025-02"),
    "gpt-4-32k-0314":                          (32_768,    None,    4_096,   "2025-06-06", "litellm-2025-02"),

    # GPT-3.5; gpt-35-turbo is Azure's spelling, without OpenAI's shutdown date
    "gpt-3.5-turbo":                           (16_385,    None,    4_096,   "2026-10-23", "litellm+genai"),
    "gpt-3.5-turbo-0125":                      (16_385,    None,    4_096,   "2026-10-23", "litellm+genai"),
    "gpt-3.5-turbo-1106":                      (16_385,    None,    4_096,   "2026-09-28", "litellm+genai"),
    "gpt-3.5-turbo-16k":                       (16_385,    None,    4_096,   "2024-09-13", "litellm-2025-02"),
    "gpt-3.5-turbo-16k-0613":                  (16_385,    None,    4_096,   "2024-09-13", "litellm-2025-02"),
    # gpt-3.5-turbo-0613: genai-prices: 16,385
    "gpt-3.5-turbo-0613":                      (4_097,     None,    4_096,   "2024-09-13", "litellm-2025-02"),
    "gpt-3.5-turbo-0301":                      (4_097,     None,    4_096,   "2024-09-13", "litellm-2025-02"),
    # gpt-35-turbo: 16,385 for some versions
    "gpt-35-turbo":                            (16_384,    None,    4_096,   None,         "litellm-2025-08"),
    "gpt-35-turbo-16k":                        (16_384,    None,    4_096,   None,         "litellm-2025-08"),
    # gpt-3.5-turbo-instruct: litellm's Azure row; its OpenAI row has 8,192, genai-prices 16,385
    "gpt-3.5-turbo-instruct":                  (4_097,     None,    4_096,   "2026-09-28", "litellm-2025-08"),
    "gpt-3.5-turbo-instruct-0914":             (4_097,     None,    4_096,   "2026-09-28", "litellm-2025-08"),
    "davinci-002":                             (16_384,    None,    4_096,   "2026-09-28", "litellm"),
    "babbage-002":                             (16_384,    None,    4_096,   "2026-09-28", "litellm"),

    # Open weights: the server decides; Azure has 131,072 output
    "gpt-oss-120b":                            (131_072,   None,    32_768,  None,         "modelsdev"),
    "gpt-oss-20b":                             (131_072,   None,    32_768,  None,         "modelsdev"),

    # Embeddings generate no tokens; genai-prices, Azure and, for ada, models.dev have 8,192
    "text-embedding-3-large":                  (8_191,     None,    0,       None,         "litellm"),
    "text-embedding-3-small":                  (8_191,     None,    0,       None,         "litellm"),
    "text-embedding-ada-002":                  (8_191,     None,    0,       None,         "litellm"),
}
# fmt: on
