"""How questions are typed, and when the page drafts them.

Between keys: V. Dhakal, A. M. Feit, P. O. Kristensson, A. Oulasvirta, "Observations on Typing from 136 Million
Keystrokes", CHI 2018: an inter-key interval of 239 ms on average over 168,000 people, standard deviation between people
112 ms; within one person the intervals are skewed to the right (here lognormal, half of the mean wide). The first key of a
word takes 20 % longer (T. A. Salthouse, "Perceptual, cognitive, and motoric aspects of transcription typing",
Psychological Bulletin 99, 1986). Before the key that sends what was composed comes one mental act, M = 1.35 s, standard
deviation 1.1 s (S. K. Card, T. P. Moran, A. Newell, "The keystroke-level model for user performance time with interactive
systems", CACM 23, 1980; the M stays before a key that ends a string which is not constant).
"""

import math
import random

KEY_S, BETWEEN_PEOPLE_S, WITHIN = 0.239, 0.112, 0.5
WORD_START = 1.2
MENTAL_S, MENTAL_SD_S = 1.35, 1.1


def lognormal(draw, mean, deviation):
    variance = math.log(1 + (deviation / mean) ** 2)
    return draw.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance))


def typed(question, seed):
    """[(seconds since the first key, text so far)], and when the question is sent."""
    draw = random.Random(seed)
    person = min(0.6, max(0.09, lognormal(draw, KEY_S, BETWEEN_PEOPLE_S)))
    at, out = 0.0, []
    for n, letter in enumerate(question):
        if n:
            mean = person * (WORD_START if question[n - 1] == " " else 1)
            at += lognormal(draw, mean, mean * WITHIN)
        out.append((at, question[: n + 1]))
    return out, at + lognormal(draw, MENTAL_S, MENTAL_SD_S)


# gateway/web/index.html, `drafts`: the same rule
PAUSE_S, LONGEST_S, LEAST_WORDS = 0.130, 0.800, 3


def drafted(keys, sent_at):
    """[(when, text)] of the drafts that the page sends for these keys."""
    out, intervals = [], []
    for n, (at, text) in enumerate(keys):
        if n and at - keys[n - 1][0] < 1.5:
            intervals = intervals[-24:] + [at - keys[n - 1][0]]
        if text.rstrip()[-1:] in "?.!":
            pause = PAUSE_S
        elif len(intervals) < 5:
            pause = LONGEST_S * 0.6
        else:
            pause = min(LONGEST_S, max(PAUSE_S, 2 * sorted(intervals)[len(intervals) // 2]))
        until = keys[n + 1][0] if n + 1 < len(keys) else sent_at
        if at + pause < until and len(text.split()) >= LEAST_WORDS:
            out.append((at + pause, text.strip()))
    return out
